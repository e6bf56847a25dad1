# What chatmaid_status says of Redis: commands by what became of them, and whether
# it is reached.

use Chatmaid::Test::Redis;
use Chatmaid::Test::Metrics;

my $api   = sandbox;
my $redis = redis_server;

sub commands ($result, $n = 1) {
    return (qq(chatmaid_redis_commands_total{result="$result"}) => $n, $result eq 'away' ? () : (chatmaid_redis_duration_seconds_count => $n));
}
sub connected ($want, $comment) { ok(wait_for(sub { metric('chatmaid_redis_connected') == $want }, "connected to be $want"), $comment) }

my %OPTION = (server => $STATUS, gateway => 'chatmaid_sender +15550100001;');


subtest 'answers' => sub {
    nginx(%OPTION, http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;');
    connected(1, 'a connection');
    my ($m, $key) = (message, key);
    my $scripts = sub { $redis->cli(qw(INFO commandstats)) =~ /cmdstat_evalsha:calls=(\d+)/ ? $1 : 0 };
    is(post('/send', message)->{status}, 201, 'Redis has the scripts');
    my $before = $scripts->();
    counts 'a send', sub { post('/send', $m, 'Idempotency-Key' => $key) }, 'send 201' => 1, tries('success'), records('new'),
        commands('ok', sub { $scripts->() - $before });
    cmp_ok($scripts->() - $before, '>=', 2, 'its claim, and its end; a slow one renews its lease');
    counts 'a replay', sub { post('/send', $m, 'Idempotency-Key' => $key) }, 'send 201' => 1, records('replayed'), commands('ok');
    is(metric('chatmaid_idempotency_records{state="in_flight"}'), 0, 'nothing is in flight');

    $redis->cli(qw(CONFIG SET maxmemory 1));
    my $errors = metric('chatmaid_redis_commands_total{result="error"}');
    post('/send', message);
    ok(wait_for(sub { metric('chatmaid_redis_commands_total{result="error"}') > $errors }), 'a refusal is an error');
    connected(0, 'Redis can not be used');
    $redis->cli(qw(CONFIG SET maxmemory 0));
    ok(wait_for(sub { post('/send', message); metric('chatmaid_redis_connected') }), 'now it can');
};

subtest 'a Redis that hangs, and goes' => sub {
    my $mine = redis_server;
    nginx(name => 'hangs', %OPTION, http => 'chatmaid_redis ' . $mine->url . ' timeout=300ms;');
    connected(1, 'a connection');
    post('/send', message);

    kill STOP => $mine->pid;
    post('/send', message);
    ok(wait_for(sub { metric('chatmaid_redis_commands_total{result="timeout"}') > 0 }), 'a timeout is counted');
    connected(0, 'and Redis is not reached');
    my $late = metrics;
    cmp_ok($late->{'chatmaid_redis_duration_seconds_bucket{le="+Inf"}'} - $late->{'chatmaid_redis_duration_seconds_bucket{le="0.25"}'}, '>=', 1,
        'with its time');
    kill CONT => $mine->pid;
    connected(1, 'it is back');

    $mine->stop;
    connected(0, 'it has gone');
    my $before = metric('chatmaid_redis_commands_total{result="error"}');
    post('/send', message);
    ok(wait_for(sub { metric('chatmaid_redis_commands_total{result="error"}') > $before }), 'what is asked of it fails');
    $mine->start;
    connected(1, 'it is back again');
};

done;
