# What chatmaid_status says of streams of events: how long they are, and how far
# their readers have come.

use Chatmaid::Test::Redis;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Webhook;

my $redis = redis_server;
my $edge  = edge(workers => 2, server => $STATUS, http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;',
    webhook => '-proxy_pass; chatmaid_webhook_stream chatmaid:events;');

sub of_group ($what, $group) { qq(chatmaid_stream_$what\{stream="chatmaid:events",group="$group"}) }
sub becomes ($name, $want, $comment) { ok(wait_for(sub { (metric($name) // -1) == $want }, "$name to be $want"), $comment) }

my $entries = 'chatmaid_stream_entries{stream="chatmaid:events"}';

hook(event('message.sent')) for 1 .. 3;
becomes($entries, 3, 'three events');
is(join(' ', grep { /group=/ } keys %{metrics()}), '', 'nobody reads them');

$redis->cli(qw(XGROUP CREATE chatmaid:events), 'idle "1"', 0);
$redis->cli(qw(XGROUP CREATE chatmaid:events busy 0));
$redis->cli(qw(XREADGROUP GROUP busy me COUNT 2 STREAMS chatmaid:events), '>');
$redis->cli(qw(XGROUP CREATE chatmaid:events done $));
becomes(of_group(lag => 'busy'), 1, 'a group that has read two');
is(metric(of_group(lag => 'idle \\"1\\"')), 3, 'one that has read none');
is(metric(of_group(lag => 'done')), 0, 'one that has read all');
cmp_ok(metric(of_group(oldest_seconds => 'busy')), '>', 0, 'the oldest, not acknowledged');
cmp_ok(metric(of_group(oldest_seconds => 'idle \\"1\\"')), '>', 0, 'the oldest, not read');
is(metric(of_group(oldest_seconds => 'done')), 0, 'no oldest');

my ($before, $after) = map { pause(0.02) if $_; metric(of_group(oldest_seconds => 'busy')) } 0, 1;
cmp_ok($after, '>', $before - 1, 'it grows older');

my ($first) = $redis->cli(qw(XRANGE chatmaid:events - + COUNT 1)) =~ /^(\d+-\d+)/;
$redis->cli(qw(XGROUP DESTROY chatmaid:events idle), '');
$redis->cli(qw(XGROUP DESTROY chatmaid:events done));
$redis->cli(qw(XREADGROUP GROUP busy me STREAMS chatmaid:events), '>');
$redis->cli(qw(XGROUP SETID chatmaid:events busy $));
$redis->cli(qw(XACK chatmaid:events busy), $redis->cli(qw(XRANGE chatmaid:events - +)) =~ /^(\d+-\d+)$/mg);
becomes(of_group(oldest_seconds => 'busy'), 0, 'all is acknowledged');
is(metric(of_group(lag => 'done')), undef, 'a group that has gone');
is_deeply([promtool(scrape->{body}, qw(check metrics))], [0, ''], 'promtool has nothing to say');

$redis->cli('DEL', 'chatmaid:events');
$redis->cli(qw(SET chatmaid:events text));
ok(wait_for(sub { !defined metric($entries) }), 'what is no stream has none');
is(metric('chatmaid_redis_connected'), 1, 'and is no trouble');

done;
