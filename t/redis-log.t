#!/usr/bin/perl

# What the log says of a lost Redis, at nginx's default level: one line when it
# is lost and one when it is back, whatever the number of workers and requests,
# over reloads and workers that die; why, and what goes on meanwhile.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Mojo::IOLoop;

my $api = sandbox;

sub gateway ($redis, $options = '', %more) {
    state $serial = 0;
    return nginx(name => 'gateway' . ++$serial, workers => 3, error_log => 'error',
        http    => 'chatmaid_redis ' . $redis->url . " timeout=2s $options; chatmaid_retries 0;",
        gateway => 'chatmaid_sender +15550100001;', %more);
}

# All that is logged, without the time and the process.
sub lines ($nginx) { map { s/^\S+ \S+ //r } grep { /chatmaid/ } split /\n/, $nginx->error_log }
sub away ($nginx)  { scalar(() = $nginx->logged(qr/\[error\].* is away: /)) }
sub back ($nginx)  { scalar(() = $nginx->logged(qr/\[error\].* is back/)) }

# Each worker has its connection.
sub connected ($redis, $count) {
    wait_for(sub { $count == (() = $redis->cli(qw(CLIENT LIST TYPE normal)) =~ / cmd=(?!client|NULL)/g) }, "$count connections");
}

sub killed ($redis) {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
}


subtest 'one line for each change' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis);
    connected($redis, 3);

    for my $n (1, 2) {
        killed($redis);
        wait_for(sub { away($nginx) == $n }, 'the line');
        is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
        is(away($nginx), $n, 'away, once');
        is(back($nginx), $n - 1, 'not back');
        $redis->start;
        connected($redis, 3);
        wait_for(sub { back($nginx) == $n }, 'the line');
    }

    like((lines($nginx))[0], qr/is away: \S.*; meanwhile sends and marks of events are known to this nginx alone/, 'what goes on');
    is(scalar(lines($nginx)), 4, 'no other line') or diag map { "$_\n" } lines($nginx);
};

subtest 'with fallback=reject' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis, 'fallback=reject');
    connected($redis, 3);
    killed($redis);
    wait_for(sub { away($nginx) }, 'the line');
    is(told($nginx->post('/send', message)), '503 store_unavailable unknown', 'a send') for 1 .. 20;
    is(scalar(lines($nginx)), 1, 'one line for all of them') or diag map { "$_\n" } lines($nginx);
    like((lines($nginx))[0], qr/; meanwhile sends are answered 503/, 'what goes on');
    $redis->start;
    wait_for(sub { told($nginx->post('/send', message)) eq '201' && back($nginx) }, 'it to be back');
    is(scalar(lines($nginx)), 2, 'and one for back');
};

subtest 'never there' => sub {
    my $redis = redis_server;
    killed($redis);
    my $nginx = gateway($redis);
    wait_for(sub { away($nginx) }, 'the line');
    is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
    $redis->start;
    wait_for(sub { back($nginx) }, 'it to be back');
    connected($redis, 3);
    is(scalar(lines($nginx)), 2, 'two lines');
};

subtest 'a reload, and workers that die, while it is away' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis, '', main => 'worker_shutdown_timeout 1s;');
    connected($redis, 3);
    killed($redis);
    wait_for(sub { away($nginx) }, 'the line');
    $nginx->reload;
    is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
    $nginx->kill_workers;
    is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
    is(scalar(grep { /chatmaid/ } lines($nginx)), 1, 'no further line');
    $redis->start;
    wait_for(sub { back($nginx) }, 'it to be back');
    connected($redis, 3);

    # The only one that had met the trouble has gone: whoever comes next knows better.

    killed($redis);
    wait_for(sub { away($nginx) == 2 }, 'away again');
    $redis->start;
    $nginx->kill_workers;
    wait_for(sub { back($nginx) == 2 }, 'and back');
    $nginx->reload;
    connected($redis, 3);
    is(away($nginx), 2, 'two lines for away');
    is(back($nginx), 2, 'two for back');
};

# Its memory is full for one worker's send; other workers find that it is over.

subtest 'a refusal' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis);
    connected($redis, 3);
    $redis->cli(qw(CONFIG SET maxmemory 1));
    is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
    is(away($nginx), 1, 'one line');
    $nginx->reload;
    connected($redis, 3);
    is(told($nginx->post('/send', message)), 201, 'a send') for 1 .. 10;
    is(scalar(grep { / is / } lines($nginx)), 1, 'new workers, whose PING is answered, end nothing')
        or diag map { "$_\n" } lines($nginx);
    $redis->cli(qw(CONFIG SET maxmemory 0));
    $nginx->kill_workers;
    wait_for(sub { told($nginx->post('/send', message)) eq '201' && back($nginx) }, 'it to be back');
    is(scalar(grep { / is / } lines($nginx)), 2, 'two lines');
};

# Redis is there, and takes no events or records: a mistake of somebody's.

subtest 'streams that take no events' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis, '', files => {webhook_secret => webhook_secret . "\n"}, server => <<'END');
        chatmaid_webhook_secret_file %DIR%/webhook_secret;
        location = /one { chatmaid_webhook on; chatmaid_webhook_stream one; }
        location = /two { chatmaid_webhook on; chatmaid_webhook_stream two; }
END
    my $hook  = sub ($path) { my $body = event('message.sent'); $nginx->post($nginx->url($path), $body, signed($body))->{status} };
    my $lines = sub ($pattern) { scalar(grep { /$pattern/ } lines($nginx)) };

    connected($redis, 3);
    $redis->cli(qw(SET one string));
    for (1 .. 10) {
        is($hook->('/one'), 503, 'refused');
        is($hook->('/two'), 200, 'the other takes them');
    }
    is($lines->(qr/stream "one" takes no events, Redis answers ".*WRONGTYPE .*"; meanwhile they are answered 503/), 1, 'one line');
    is(scalar(lines($nginx)), 1, 'no other');
    $nginx->kill_workers;
    $nginx->reload;
    is($hook->('/one'), 503, 'refused') for 1 .. 10;
    is(scalar(lines($nginx)), 1, 'nor afterwards') or diag map { "$_\n" } lines($nginx);

    $redis->cli(qw(DEL one));
    wait_for(sub { $hook->('/one') == 200 && $lines->(qr/stream "one" takes events again/) }, 'events to be taken');
    is(scalar(lines($nginx)), 2, 'and one line for that');
};

subtest 'records of another type' => sub {
    my $redis = redis_server;
    my $nginx = gateway($redis);
    my @keys  = map { key } 1 .. 10;
    connected($redis, 3);
    $redis->cli('SET', record_of($_), 'x') for @keys;
    my %seen;
    for my $k (@keys) { $seen{told($nginx->post('/send', message, 'Idempotency-Key' => $k))}++ }
    is(scalar(lines($nginx)), 1, 'one line for ten') or diag map { "$_\n" } lines($nginx);
    wait_for(sub { told($nginx->post('/send', message, 'Idempotency-Key' => key)) eq '201' && lines($nginx) == 2 }, 'another line');
    like((lines($nginx))[1], qr/again/, 'once it is over');
};

subtest 'a zone without room' => sub {
    my $nginx = nginx(name => 'small', workers => 3, error_log => 'error',
        http => 'chatmaid_zone small:32k; chatmaid_retries 0; chatmaid_idempotency_wait 0;', gateway => 'chatmaid_sender +15550100001;');
    $api->fault({hold => 'before', times => 0, match => {method => 'POST'}});
    my $agent = $nginx->client;
    my @held  = map { $agent->later(POST => '/send', message, 'Idempotency-Key' => key) } 1 .. 150;
    wait_for(sub { grep { $_->done } @held }, 'sends that are refused');
    $api->release;
    $api->clear_faults;
    my $refused = grep { told($_->result) =~ /^503/ } @held;
    cmp_ok($refused, '>', 10, 'refused sends');
    is(scalar(grep { /can't record a send: .*; it is answered 503/ } lines($nginx)), 1, 'one line for all');
    wait_for(sub { told($nginx->post('/send', message)) eq '201' && grep { /records sends again/ } lines($nginx) }, 'room again');
};


# --- Why ---------------------------------------------------------------------

sub reason ($url, $more = '', %files) {
    state $serial = 0;
    my $nginx = probe("$url timeout=2s $more", workers => 2, error_log => 'error', files => \%files, name => 'reason' . ++$serial);
    wait_for(sub { away($nginx) }, 'the line');
    my ($line) = $nginx->logged(qr/ is away: /);
    is(scalar(() = $nginx->error_log =~ /^/mg), 1, 'nothing else in the log') or diag $nginx->error_log;
    $nginx->quit;
    my ($reason) = $line =~ /is away: (.*); meanwhile/ or diag $line;
    return $reason;
}

my $password = secret('a-password-of-redis');
my $plain    = redis_server;
my $closed   = redis_server(args => ['--requirepass', $password]);
my $tls      = redis_server(tls => 'good');
my ($tls_url, $plain_tls) = map { $_->url =~ s/redis:/rediss:/r } $tls, $plain;

is(reason('redis://127.0.0.1:' . port('nobody')), q{can't connect (111: Connection refused)}, 'refused');
is(reason($closed->url), 'it answers to PING: "NOAUTH Authentication required.": it wants a password, see password_file', 'NOAUTH');
is(reason($closed->url, 'password_file=%DIR%/wrong', wrong => 'x'),
    'it answers to AUTH: "WRONGPASS": the user or the password is wrong, see password_file', 'a wrong password');
is(reason($plain->url, 'password_file=%DIR%/wrong', wrong => 'x'), 'it answers to AUTH: "ERR": it may want no password_file', 'a needless one');
is(reason($plain->url . '/99'), 'it answers to SELECT: "ERR DB index is out of range": see the database behind the "/" of the URL', 'no such database');
like(reason($plain_tls, 'verify=off'), qr/^(?:the TLS handshake failed|no TLS handshake in time): .*whether this port speaks TLS$/, 'no TLS there');
like(reason($tls_url), qr/^(?:unable to get local issuer certificate|self.signed certificate.*): see ca_file/, 'a certificate of another CA');
like(reason($tls->url), qr/: is it a Redis, and does it not want TLS \(rediss:\/\/\)\?$/, 'TLS there alone');
like(reason(redis_fake(sub (@args) { }, greeting => sub (@args) { 1 })->url), qr/^can't connect \(110: /, 'no answer in time');
like(reason(redis_fake(sub (@args) { }, greeting => sub ($fake, $stream, @words) { $stream->write("+x\r\n" x 3) })->url),
    qr/^what it sends is no reply/, 'more than was asked for');
like(reason(redis_fake(sub (@args) { }, greeting => sub ($fake, $stream, @words) { $stream->write(":1\r\n") })->url),
    qr/^what it sends is no reply: is it a Redis/, 'another type');

done;
