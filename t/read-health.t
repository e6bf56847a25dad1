# GET health: whether sends would be accepted, and what does not work.  It asks
# Redis by itself, so that it is right where nobody else asks.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;

sub gateway_of ($name, $http = '', %more) {
    return nginx(name => $name, http => "chatmaid_retries 0; $http", gateway => 'chatmaid_sender +15550100001; chatmaid_scope messages:send;', %more, server => <<'END');
        location ^~ /off/   { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency off; }
        location ^~ /brief/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_timeout 300ms; }
        location ^~ /dead/  { chatmaid_gateway /.dead/; chatmaid_sender +15550100001; }
        location ^~ /.dead/ { proxy_pass https://127.0.0.1:%PORT:nobody%/; %PROXY% }
END
}

# "200 ok up unknown"
sub health ($nginx = undef, $path = '/chatmaid') {
    my $answer = $nginx ? $nginx->get($nginx->url("$path/health")) : get(url("$path/health"));
    my %json   = %{$answer->{json} // {}};
    is(join(' ', sort keys %json), 'redis status upstream', 'its members');
    is($answer->{headers}{'cache-control'}, 'no-store', 'in no cache');
    return join ' ', $answer->{status}, @json{qw(status redis upstream)};
}

# What it says at last, asked again and again and nothing else.
sub comes_to ($nginx, $want, $name, $path = '/chatmaid') {
    my $said = wait_for(sub {
        my $answer = $nginx->get($nginx->url("$path/health"));
        my $said   = join ' ', $answer->{status}, @{$answer->{json}}{qw(status redis upstream)};
        $said eq $want && $said;
    }, $want);
    is($said, $want, $name);
}

subtest 'without Redis' => sub {
    my $nginx = gateway_of('alone', '', workers => 2);
    is(health, '200 ok off unknown', 'nothing is known of Chatmaid yet');
    is($api->count, 0, 'which was not asked');
    is(get(url('/chatmaid/account'))->{status}, 403, 'no scope is needed for it');
    is(request(HEAD => '/health')->{status}, 200, 'HEAD');
    my $post = post('/health', {});
    is_deeply([told($post), $post->{headers}{allow}], ['405 method_not_allowed', 'GET, HEAD'], 'no other method');
    is(get('/v1/health')->{status}, 404, 'not on the native face');
    is(told(get('/health/more')), '404 not_found', 'nothing below it');

    is(post('/send', message)->{status}, 201, 'a send');
    comes_to($nginx, '200 ok off up', 'Chatmaid has answered, whatever worker is asked');
    is(health(undef, '/dead'), '200 ok off unknown', 'another upstream is another matter');
    is(told(post(url('/dead/send'), message)), '502 upstream_error not_sent', 'a dead one');
    is(health(undef, '/dead'), '200 degraded off down', 'is down');
    is(health, '200 ok off up', 'the first one is not');

    for my $case (['an error', {status => 500, json => {}}, 'degraded off down'], ['a refusal', {status => 422, json => {}}, 'ok off up'],
        ['no answer', no_answer('before'), 'degraded off down'], ['a limit', {status => 429, json => {}}, 'ok off up'],
        ['no connection', {close => 'before', times => 100}, 'degraded off down'], ['a refused key', {status => 401, json => {}}, 'ok off up']) {
        my ($name, $fault, $want) = @$case;
        $api->fault($fault);
        post('/send', message);
        $api->clear_faults;
        is(health, "200 $want", $name);
    }
};

# Each way for Redis to be away, with nobody but health to notice.
subtest 'with Redis' => sub {
    my %gateway = map { $_ => gateway_of("with_$_", 'chatmaid_redis ' . $redis->url . " timeout=300ms fallback=$_;", workers => 2) } qw(zone reject);
    my %down    = (zone => '200 degraded down unknown', reject => '503 down down unknown');
    comes_to($gateway{$_}, '200 ok up unknown', "$_: at the start") for qw(zone reject);

    $redis->kill('STOP');
    for my $fallback (qw(zone reject)) {
        my $nginx = $gateway{$fallback};
        my $began = time;
        is(health($nginx), $down{$fallback}, "$fallback: Redis hangs");
        cmp_ok(time - $began, '<', at_most(5), "$fallback: after its timeout");
        is(health($nginx), $down{$fallback}, "$fallback: still");
        is(health($nginx, '/off'), '200 degraded down unknown', "$fallback: where there are no records, sends go on");
    }
    $redis->kill('CONT');
    comes_to($gateway{$_}, '200 ok up unknown', "$_: it goes on") for qw(zone reject);

    # One command that was late says nothing of the next one.
    $redis->kill('STOP');
    is(told($gateway{reject}->post('/send', message)), '503 store_unavailable unknown', 'a send that is too late');
    $redis->kill('CONT');
    comes_to($gateway{reject}, '200 ok up unknown', 'Redis is up all the same');
    is(told($gateway{reject}->post('/send', message)), '201', 'and takes the next one');

    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
    comes_to($gateway{$_}, $down{$_} =~ s/unknown/$_ eq 'zone' ? 'unknown' : 'up'/er, "$_: Redis is gone") for qw(zone reject);
    my $began = time;
    health($gateway{reject}) for 1 .. 3;
    cmp_ok(time - $began, '<', at_most(5), 'which is known at once');

    $redis->start;
    comes_to($gateway{$_}, '200 ok up ' . ($_ eq 'zone' ? 'unknown' : 'up'), "$_: Redis is back") for qw(zone reject);
    for my $nginx (values %gateway) {
        ok(wait_for(sub { $nginx->logged(qr/is back/) }, 'the line'), 'and the log says so');
    }
};

# A server that answers PING may take no records.
subtest 'Redis that does not write' => sub {
    my $nginx = gateway_of('refusing', 'chatmaid_redis ' . $redis->url . ' timeout=30s fallback=reject;');
    comes_to($nginx, '200 ok up unknown', 'it writes');
    $redis->cli('CONFIG', 'SET', 'maxmemory', 1);
    is(health($nginx), '503 down down unknown', 'it has no memory');
    $redis->cli('CONFIG', 'SET', 'maxmemory', 0);
    is(health($nginx), '200 ok up unknown', 'it has some again');
    $redis->cli('REPLICAOF', '127.0.0.1', port('nobody'));
    is(health($nginx), '503 down down unknown', 'a replica');
    $redis->cli('REPLICAOF', 'NO', 'ONE');
    comes_to($nginx, '200 ok up unknown', 'a master');
    wait_for(sub { !$redis->cli('EXISTS', 'chatmaid:health') }, 'it to go by itself');
    is($redis->cli('DBSIZE'), 0, 'nothing is left');

    is(post('/send', message)->{status}, 201, 'and a send');
};

subtest 'a timeout of Redis longer than that of the location' => sub {
    my $nginx = gateway_of('patient', 'chatmaid_redis ' . $redis->url . ' timeout=600s fallback=reject;');
    comes_to($nginx, '200 ok up unknown', 'it answers');
    $redis->kill('STOP');
    is(health($nginx, '/brief'), '503 down down unknown', 'within the time of the location');
    raw($nginx->port, "GET /chatmaid/health HTTP/1.1\r\nHost: gateway\r\n\r\n", abort => 'close');
    is($nginx->get($nginx->url('/chatmaid/v1/nothing'))->{status}, 404, 'a caller that has left is forgotten');
    $redis->kill('CONT');
    comes_to($nginx, '200 ok up unknown', 'it goes on');
};

done;
