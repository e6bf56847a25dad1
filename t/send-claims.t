# Claims where time or the store plays tricks: a window that ends while a send
# waits, many askers at once, replies of a wrong shape, an answer that is too
# large, a script that is refused.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;
use Time::HiRes qw(time);

my $api   = sandbox(dedup => 0);
my $redis = redis_server;

# The store has been asked by a second send.
sub two_claims ($nginx, $from) {
    wait_for(sub { 2 <= grep { /chatmaid claim, result/ } $nginx->log_lines($from) }, 'a second claim');
}

# The statuses of answers, each with how often it came.
sub statuses (@pending) {
    my %count;
    $count{$_->result->{status}}++ for @pending;
    return join ' ', map { "$_ x $count{$_}" } sort keys %count;
}

my $window = 'chatmaid_sender +15550100001; chatmaid_idempotency_window %s;';

# A second send within a window after the first, which is held until the window
# is over.  The zone has nginx's clock, which we set.
subtest 'a window of the zone' => sub {
    my $clock = clock(at => int time);
    my $nginx = nginx(name => 'zone', error_log => 'debug', clock => $clock, gateway => sprintf $window, '4s');
    for my $case (['in the same window', 1, 1], ['over the border', 3, 2]) {
        my ($how, $phase, $later) = @$case;
        my ($m, $from) = (message, length $nginx->error_log);
        $clock->forward(4 - $clock->now % 4 + $phase);
        $api->fault({hold => 'before'});
        my $first = later(POST => '/send', $m);
        $api->wait_held;
        $clock->forward($later);
        my $second = later(POST => '/send', $m);
        two_claims($nginx, $from);
        $clock->forward(4);
        get('/account');
        $api->release;
        is($second->result->{json}{id}, $first->result->{json}{id}, "$how: waits on when the window ends");
        is(made($m), 1, "$how: one message");
    }
};

# Redis' clock is everybody's: again where the machine was too slow.
subtest 'a window of Redis' => sub {
    my $nginx = nginx(name => 'redis', error_log => 'debug', http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;', gateway => sprintf $window, '3s');
    for my $case (['in the same window', 0.1, 0.2], ['over the border', 2, 1.2]) {
        my ($how, $phase, $later) = @$case;
        my ($m, $from, $first, $second, $start);
        do {
            $_->result for grep { defined } $first, $second;
            ($m, $from) = (message, length $nginx->error_log);
            pause((int(time / 3) + 1) * 3 + $phase - time);
            $api->fault({hold => 'before'});
            $start  = time;
            $first  = later(POST => '/send', $m);
            $api->wait_held;
            pause($later);
            $second = later(POST => '/send', $m);
            two_claims($nginx, $from);
            my $late = time - $start;
            pause($start + 3.2 - time);
            $api->release;
            $start = $late < 3;
        } until $start;
        is($second->result->{json}{id}, $first->result->{json}{id}, "$how: waits on when the window ends");
        is(made($m), 1, "$how: one message");
    }
};

my $nginx = nginx(name => 'many', workers => 2, http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;',
    gateway => 'chatmaid_sender +15550100001; chatmaid_timeout 2m; chatmaid_idempotency_wait 2m;', servers => <<'END');
    server {
        listen 127.0.0.1:%PORT:more%;
        chatmaid_sender +15550100001;
        location /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_wait 0; }
        location /.chatmaid/ { %PROXY% proxy_pass https://127.0.0.1:%API%/; }
    }
END

subtest 'many at once' => sub {
    my $m = message;
    is(post('/send', $m, 'Idempotency-Key' => 'k')->{status}, 201, 'done');

    $redis->cli('CLIENT', 'PAUSE', '300', 'ALL');
    my $other = later(POST => '/send', message, 'Idempotency-Key' => 'k');
    pause(0.05);
    my $again = later(POST => '/send', $m, 'Idempotency-Key' => 'k');
    is($other->result->{status}, 422, 'another message is refused');
    is($again->result->{status}, 201, 'and does not stand in the way of a replay');

    my $impatient = 'http://127.0.0.1:' . $nginx->port('more') . '/impatient/send';
    is(statuses(map { later(POST => $impatient, $m, 'Idempotency-Key' => 'k') } 1 .. 10), '201 x 10',
        'replays do not wait for each other');

    $m = message;
    $api->fault({hold => 'before'});
    my @all = map { later(POST => '/send', $m, 'Idempotency-Key' => 'k2') } 1 .. 100;
    $api->wait_held;
    pause(1);
    $api->release;
    is(statuses(@all), '201 x 100', 'a hundred waiters');
    is(made($m), 1, 'one message');
};

subtest 'a large answer' => sub {
    nginx(name => 'large', workers => 1, http => 'chatmaid_zone small:256k;', gateway => 'chatmaid_sender +15550100001;');
    post('/send', message, 'Idempotency-Key' => "k$_") for 1 .. 20;
    my $m = message;
    $api->fault({status => 201, json => {success => \1, data => {id => 'msg_large', content => 'x' x 100_000}}}) for 1 .. 2;
    is(post('/send', $m, 'Idempotency-Key' => 'large')->{json}{id}, 'msg_large', 'is answered');
    my $k1 = post('/send', {to => '+15550100099', text => 'none'}, 'Idempotency-Key' => 'k1');
    is($k1->{status}, 422, 'and drops no other record');
    is(post('/send', $m, 'Idempotency-Key' => 'large')->{json}{id}, 'msg_large', 'a retry asks Chatmaid again');
};

# Its own claim is over: another worker's, which has taken it, is not ended by it.
subtest 'a large answer that comes late' => sub {
    my $nginx = nginx(name => 'late', error_log => 'debug', workers => 2, http => 'chatmaid_zone late:256k; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001;', server => <<'END');
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
END
    my $m    = message;
    my $send = sub ($place) { later(POST => url("/$place/send"), $m, 'Idempotency-Key' => 'late') };
    $api->fault({hold => 'after', status => 201, json => {success => \1, data => {id => 'msg_late', content => 'x' x 100_000}}},
        {hold => 'before'});
    my $first = $send->('chatmaid');
    $api->wait_held;
    my ($stopped) = map { /#(\d+): .*chatmaid claim, result:0/ ? $1 : () } $nginx->log_lines;
    kill STOP => $stopped;
    my $second = $send->('chatmaid');
    $api->wait_held(2);
    $api->release(1);
    kill CONT => $stopped;
    is($first->result->{json}{id}, 'msg_late', 'is answered');
    ok(scalar($nginx->logged(qr/\[warn\].*no room for an answer/)), 'and finds no room');
    is($send->('impatient')->result->{status}, 409, 'the one that took over is still under way');
    $api->release;
    is($second->result->{status}, 201, 'and is answered');
    is($send->('impatient')->result->{headers}{'idempotent-replayed'}, 'true', 'and recorded');
};

subtest 'replies of a wrong shape' => sub {
    my $reply;
    my $fake  = redis_fake(sub ($self, $stream, @words) { $stream->write($words[0] =~ /^EVAL/ ? $reply : "+OK\r\n") });
    my $nginx = nginx(name => 'shapes', workers => 1, http => 'chatmaid_redis ' . $fake->url . ';',
        gateway => 'chatmaid_sender +15550100001;');
    my $done  = sub ($status) { "*5\r\n\$4\r\ndone\r\n:1\r\n:0\r\n\$2\r\n{}\r\n\$" . length($status) . "\r\n$status\r\n" };
    my %wrong = (numbers => "*3\r\n:1\r\n:2\r\n:3\r\n", short => "*2\r\n\$7\r\nclaimed\r\n:1\r\n",
        nil => "*3\r\n\$-1\r\n:1\r\n:0\r\n", string => "\$2\r\nhi\r\n", empty => "*0\r\n", done => "*4\r\n\$4\r\ndone\r\n:1\r\n:0\r\n:1\r\n",
        unknown => "*3\r\n\$5\r\ntaken\r\n:1\r\n:0\r\n", zero => "*3\r\n\$10\r\nin_flight\0\r\n:1\r\n:0\r\n",
        early => "*3\r\n\$6\r\nreused\r\n:-9223372036854775808\r\n:0\r\n", late => "*3\r\n\$6\r\nreused\r\n:9223372036854775807\r\n:0\r\n",
        long => "*4\r\n\$7\r\nclaimed\r\n:1\r\n:0\r\n\$1\r\n0\r\n", other => "*3\r\n\$7\r\nclaimed\r\n:1\r\n\$1\r\n0\r\n",
        map { ("status $_" => $done->($_)) } 'abc', -1, 199, 300, '', '99999999999999999999');
    for my $name (sort keys %wrong) {
        $reply = $wrong{$name};
        is(post('/send', message)->{status}, 201, "$name: goes on with the zone");
    }
    $reply = "-ERR no such thing\r\n";
    is(post('/send', message)->{status}, 201, 'an error: too');
    ok($nginx->logged(qr/\[error\].*chatmaid redis can't keep records/), 'the log says so');
};

# As by a Redis that takes longer than a short window is.
subtest 'always in another window' => sub {
    my $fake  = redis_fake(sub ($self, $stream, @words) {
        $stream->write($words[0] =~ /^EVAL/ ? sprintf "*3\r\n\$5\r\nclock\r\n:%d\r\n:0\r\n", 1000 * time : "+OK\r\n") });
    my $nginx = nginx(name => 'clock', workers => 1, http => 'chatmaid_redis ' . $fake->url . ' timeout=30s;',
        gateway => 'chatmaid_sender +15550100001; chatmaid_idempotency_window 1s; chatmaid_timeout 1h;');
    my $m      = message;
    my $answer = post('/send', $m);
    is(told($answer), '503 store_unavailable unknown', 'a send is refused');
    ok($answer->{headers}{'retry-after'}, 'with Retry-After');
    is(scalar(grep { $_->[0] eq 'EVALSHA' } @{$fake->seen}), 2, 'Redis was asked twice');
    is(made($m), 0, 'nothing was sent');
    ok($nginx->logged(qr/\[error\].*chatmaid can't record a send: Redis takes longer than chatmaid_idempotency_window/), 'the log says why');
};

done;
