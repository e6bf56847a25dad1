# An event leaves a note only where somebody may be waiting, at whatever gateway of one Redis.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);

my $api   = sandbox;
my $redis = redis_server;

my ($edge, $gateway) = map {
    nginx(name => $_, gateway => 'chatmaid_sender +15550100001; chatmaid_wait_max 300s;',
        files  => {webhook_secret => webhook_secret . "\n"},
        http   => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis ' . $redis->url . ';',
        server => 'location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; } location = /done { return 204; }')
} qw(edge gateway);

# Of some events at once, how many left a note?
sub notes_of ($n) {
    state $count = 0;
    my @ids = map { 'inmsg_' . ++$count } 1 .. $n;
    for my $id (@ids) {
        my $body = event('message.received', {messageId => $id});
        is($edge->post($edge->url('/webhook'), $body, signed($body))->{status}, 204, "the event of $id");
    }
    return $redis->cli('EXISTS', map { note_of('', $_) } @ids);
}

# What Redis says of it holds for a moment: events that come slowly all leave one.
wait_for(sub { notes_of(5) < 5 }, 'events without notes');
is($redis->cli('EXISTS', 'chatmaid:waiting'), 0, 'nobody waits');

my $id   = sent_message($gateway);
my $wait = $gateway->later(GET => $gateway->url("/chatmaid/messages/$id?wait=300&until=read"));
$api->wait_requests(1, path => "/v1/messages/$id");
is($redis->cli('EXISTS', 'chatmaid:waiting'), 1, 'somebody waits, before the first read');
wait_for(sub { notes_of(5) == 5 }, 'notes of all events');

$api->move($id, 'read');
my $body = event('message.read', {messageId => $id});
is($edge->post($edge->url('/webhook'), $body, signed($body))->{status}, 204, 'the event');
is(waited($wait->result), '200 read', 'ends the wait');

done;
