# The store as a user of Redis who may do no more than it needs.  docs/redis.md shows
# this line, with "chatmaid:" for the prefix.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);

my @commands = qw(eval evalsha time get set setrange del);
my @notes    = qw(mget);                 # of webhooks, for those who wait
my @line     = ('~chatmaid:*', 'nocommands', map { "+$_" } @commands, @notes, qw(ping role));
my @cluster  = ('~chatmaid:*', 'nocommands', map { "+$_" } @commands, @notes, qw(ping cluster|slots asking));

my $password = secret('password-of-the-gateway');
my $api      = sandbox;
my $redis    = redis_server;

sub gateway ($name, $url, $fallback = 'reject') {
    return nginx(name => $name, error_log => 'notice', files => {redis_password => "$password\n", webhook_secret => webhook_secret . "\n"},
        http    => "chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis $url password_file=%DIR%/redis_password timeout=30s fallback=$fallback; chatmaid_retries 0;",
        gateway => 'chatmaid_sender +15550100001;', server => <<'END');
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
        location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done    { return 204; }
END
}

sub user (@rules) { $redis->cli('ACL', 'SETUSER', 'gateway', @rules) }
sub denied ()     { $redis->cli('ACL', 'LOG') =~ /^object\n(.*)$/mg }

sub send_at ($gateway, $m, $k = undef) { $gateway->post($gateway->url('/impatient/send'), $m, 'Idempotency-Key' => $k) }

my %refused = (status => 404, json => {success => \0, message => ['who?']});

# What a record may live through; says what was answered.

sub cycle ($one, $two) {
    my @said;
    my ($k, $m) = (key, message);
    $api->clear_faults;

    my $sent = send_at($one, $m, $k);
    my $body = event('message.sent', {messageId => $sent->{json}{id} // 'none'});
    push @said, told($sent), $one->post($one->url('/webhook'), $body, signed($body))->{status};     # leaves a note
    push @said, $two->get("/messages/" . ($sent->{json}{id} // 'none') . '?wait=9&until=sent')->{status};

    ($k, $m) = (key, message);
    push @said, map { told(send_at($_, $m, $k)) } $one, $two;       # sent, replayed
    push @said, told(send_at($two, message, $k));

    ($k, $m) = (key, message);
    $api->fault({%refused});
    push @said, told(send_at($one, $m, $k)), told(send_at($two, message, $k));

    ($k, $m) = (key, message);
    $api->fault(no_answer('after'), {%refused});
    push @said, map { told(send_at($_, $m, $k)) } $one, $two, $two;

    $m = message;
    push @said, map { told(send_at($_, $m)) } $one, $two;           # keyless
    return join ', ', @said;
}

my $whole = join ', ', 201, 204, 200, 201, 201, '422 idempotency_key_reused unknown', '404 not_found not_sent', 201,
    '502 upstream_error unknown', '404 not_found unknown', 201, 201, 201;

is(user(qw(reset on), ">$password", @line), 'OK', 'the line: ' . join(' ', @line));

my $address = '127.0.0.1:' . $redis->port;
my ($one, $two) = map { gateway($_, "redis://gateway\@$address") } qw(one two);


subtest 'all of it under that line' => sub {
    is(cycle($one, $two), $whole, 'a cycle');

    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $held = $one->later(POST => '/send', $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    my $lease  = $redis->record(record_of($k))->{lease};
    my $waiter = $two->later(POST => '/send', $m, 'Idempotency-Key' => $k);
    wait_for(sub { $redis->record(record_of($k))->{lease} > $lease }, 'a renewal');
    $api->release;
    is(told($held->result), 201, 'a send that renews its lease');
    is($waiter->result->{body}, $held->result->{body}, 'and one that waits for it');

    $redis->cli('SCRIPT', 'FLUSH');
    is(cycle($one, $two), $whole, 'once the scripts are forgotten');
    is(join(' ', denied), '', 'nothing was denied');
    is(scalar($_->logged(qr/is away/)), 0, $_->name . ': Redis was never away') for $one, $two;
};

subtest 'without PING it works all the same' => sub {
    user('-ping');
    $redis->cli(qw(CLIENT KILL USER gateway));
    is(cycle($one, $two), $whole, 'a cycle');
    is(join(' ', keys %{{map { $_ => 1 } denied}}), 'ping', 'but Redis takes note of it');
    user('+ping');
};

subtest 'without ROLE it is not used' => sub {
    my $blind = gateway('blind', "redis://gateway\@$address");
    user('-role');
    $redis->cli(qw(CLIENT KILL USER gateway));
    wait_for(sub { $blind->logged(qr/is away: it answers to ROLE: "NOPERM .*docs\/redis\.md has the ACL/) }, 'the line');
    is(told(send_at($blind, message, key)), '503 store_unavailable unknown', 'a send');
    user('+role');
    wait_for(sub { told(send_at($_, message, key)) eq '201' }, 'a send') for $blind, $one, $two;
    $blind->quit;
};

subtest 'nothing else' => sub {
    my $as_user = sub (@words) { $redis->cli([AUTH => 'gateway', $password], @words) };
    like($as_user->(@$_), qr/NOPERM/, "@$_") for [qw(KEYS *)], ['FLUSHALL'], [qw(CONFIG GET *)], [qw(HGETALL chatmaid:op:x)],
        [qw(ACL LIST)], ['SCRIPT', 'FLUSH'], ['EVAL', 'return 1', 1, 'other:x'];
    like($as_user->('EVAL', q{return redis.call('KEYS', '*')}, 0), qr/NOPERM|can't run this command|ACL failure in script/, 'nor within a script');
    like($as_user->('EVAL', q{return redis.call('GET', 'other:x')}, 0), qr/NOPERM|No permissions|can't access|ACL failure in script/, 'nor another key');
};

subtest 'each command is needed' => sub {
    for my $command (@commands) {
        $redis->cli('SCRIPT', 'FLUSH');
        $redis->cli('ACL', 'LOG', 'RESET');
        user("-$command");
        isnt(cycle($one, $two), $whole, "without $command: something is refused");
        ok(scalar(grep { $_ eq $command } denied), "without $command: by Redis, for that");
        user("+$command");
    }
    $api->clear_faults;
    is(told(send_at($one, message, key)), 201, 'with all of them');
};

subtest 'nor do notes go without theirs' => sub {
    for my $command (@notes) {
        $redis->cli('ACL', 'LOG', 'RESET');
        user("-$command");
        my @said;
        wait_for(sub { push @said, cycle($one, $two); grep { $_ eq $command } denied }, "a denied $command");
        is(scalar(grep { $_ ne $whole } @said), 0, "without $command: sends and waits are answered");
        user("+$command");
    }
};

subtest 'another database needs one more' => sub {
    my $third = gateway('third', "redis://gateway\@$address/1", 'reject');
    is(told(send_at($third, message, key)), '503 store_unavailable unknown', 'without SELECT');
    user('+select');
    wait_for(sub { told(send_at($third, message, key)) eq '201' }, 'a send');
    like($redis->cli('INFO', 'keyspace'), qr/^db1:keys=\d/m, 'with it the records are there');
    user('-select');
};

subtest 'a wrong password' => sub {
    my $fourth = gateway('fourth', "redis://gateway\@$address");
    is(told(send_at($fourth, message, key)), 201, 'with the right one');
    user('resetpass', '>another');
    $redis->cli(qw(CLIENT KILL USER gateway));
    is(told(send_at($fourth, message, key)), '503 store_unavailable unknown', 'refused');
    ok(wait_for(sub { $fourth->logged(qr/is away: it answers to AUTH: "WRONGPASS"/) }), 'the log says why');
    user('resetpass', ">$password");
    for my $gateway ($fourth, $two) {
        wait_for(sub { told(send_at($gateway, message, key)) eq '201' }, 'a send');
    }
    is(cycle($fourth, $two), $whole, 'with the right one again');
};

subtest 'a Cluster needs other commands' => sub {
    my @masters = redis_cluster;
    my $users   = sub (@rules) { $_->cli('ACL', 'SETUSER', 'gateway', @rules) for @masters };
    my $denials = sub () { join ' ', map { $_->cli('ACL', 'LOG') =~ /^object\n(.*)$/mg } @masters };
    $users->(qw(reset on), ">$password", @cluster);
    my $hosts = join ',', map { '127.0.0.1:' . $_->port } @masters;
    my ($one, $two) = map { gateway($_, "redis+cluster://gateway\@$hosts") } qw(cluster-one cluster-two);

    is(cycle($one, $two), $whole, 'a cycle');
    $_->cli('SCRIPT', 'FLUSH') for @masters;
    is(cycle($one, $two), $whole, 'once the scripts are forgotten');

    # of a record that is on its way
    my $asked = sub ($k) {
        my $name   = tagged_record_of($k);
        my $slot   = $masters[0]->cli(CLUSTER => 'KEYSLOT', $name);
        my ($from) = grep { $_->cli(EXISTS => $name) !~ /^MOVED/ } @masters;
        my ($to)   = grep { $_ != $from } @masters;
        my $answer;
        redis_slot_move($slot, $from, $to, \@masters, sub { $answer //= told(send_at($one, message, $k)) });
        return $answer;
    };
    is($asked->(key), 201, 'while a slot is being moved');
    is($denials->(), '', 'nothing was denied');
    is(scalar($_->logged(qr/is away/)), 0, $_->name . ': Redis was never away') for $one, $two;

    $users->('-asking');
    is($asked->(key), '503 store_unavailable unknown', 'without ASKING: not while a slot is being moved');
    like($denials->(), qr/\Aasking(?: asking)*\z/, 'by Redis, for that');
    $users->('+asking');
    wait_for(sub { told(send_at($one, message, key)) eq '201' }, 'a send');
    is($asked->(key), 201, 'with it');

    $users->('-cluster|slots');
    my $blind = gateway('cluster-blind', "redis+cluster://gateway\@$hosts");
    wait_for(sub { $blind->logged(qr/is away: it answers "NOPERM .*has the ACL/) }, 'without CLUSTER SLOTS: the line');
    $users->('+cluster|slots');
    wait_for(sub { told(send_at($blind, message, key)) eq '201' }, 'a send');
    $_->quit for $one, $two, $blind;
};

done;
