#!/usr/bin/perl

# A master that Sentinels name: any of them answers, the next is asked when one
# does not, and the master's role is verified.  What happens when they make
# another server the master, and what they may say that is of no use.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Dns;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api = sandbox;

sub gateway ($sentinels, %more) {
    state $serial = 0;
    my $scheme  = delete $more{scheme}  // 'redis+sentinel';
    my $user    = delete $more{user}    // '';
    my $params  = delete $more{params}  // '';
    my $path    = delete $more{path}    // '/mymaster';
    my $timeout = delete $more{timeout} // '30s';
    my $http    = delete $more{http}    // '';
    my $hosts   = join ',', map { '127.0.0.1:' . (ref $_ ? $_->port : $_) } @$sentinels;
    return nginx(name => 'gateway' . ++$serial, workers => 2, error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        http => "chatmaid_redis $scheme://$user$hosts$path timeout=$timeout fallback=reject $params; chatmaid_retries 0; $http", %more);
}

sub send_at ($nginx, $k = key, $m = message) { $nginx->post('/send', $m, 'Idempotency-Key' => $k) }
sub away ($nginx) { scalar(() = $nginx->logged(qr/ is away: /)) }
sub back ($nginx) { scalar(() = $nginx->logged(qr/ is back/)) }
sub works ($nginx, $name = 'a send') { ok(wait_for(sub { told(send_at($nginx)) eq '201' }, $name), $name) }
sub why ($nginx, $name) {
    wait_for(sub { away($nginx) }, $name);
    my ($reason) = ($nginx->logged(qr/ is away: /))[0] =~ / is away: (.*); meanwhile/;
    return $reason;
}

# What the Sentinel says, and whether it knows of a replica.
sub told_by ($sentinel) { (split /\n/, $sentinel->cli(SENTINEL => 'get-master-addr-by-name', 'mymaster'))[1] // 0 }
sub knows ($sentinel, $replicas) {
    wait_for(sub { $sentinel->cli(SENTINEL => 'replicas', 'mymaster') =~ /^slave-priority\n100$/m
        && $replicas == (() = $sentinel->cli(SENTINEL => 'replicas', 'mymaster') =~ /^master-link-status\nok$/mg) }, 'a Sentinel to know all');
}


subtest 'a failover' => sub {
    my ($one, $two) = map { redis_server } 1, 2;
    redis_replica_of($two, $one);
    my @sentinels = map { redis_sentinel($one, quorum => 2) } 1 .. 3;
    wait_for(sub { $_->cli(SENTINEL => 'master', 'mymaster') =~ /^num-other-sentinels\n2$/m }, 'Sentinels to know each other') for @sentinels;
    knows($_, 1) for @sentinels;

    # The first is not there.
    my @gateways = map { gateway([port('nobody'), @sentinels]) } 1, 2;
    my ($k, $m) = (key, message);
    works($_) for @gateways;
    is(told(send_at($gateways[0], $k, $m)), 201, 'a send');
    wait_for(sub { $two->state_of(record_of($k)) eq 'done' }, 'its record at the replica');
    is($gateways[0]->error_log, '', 'nothing in the log');

    $one->kill('KILL');
    wait_for(sub { told_by($sentinels[0]) == $two->port && told_by($sentinels[1]) == $two->port && told_by($sentinels[2]) == $two->port }, 'the failover');
    my $from = time;
    wait_for(sub { back($gateways[0]) && back($gateways[1]) }, 'the lines');
    cmp_ok(time - $from, '<', at_most(5), 'both are back soon, without a reload');
    for my $nginx (@gateways) {
        my $again = send_at($nginx, $k, $m);
        is(told($again) . ' ' . replayed($again), '201 replayed', 'what was recorded is known');
        works($nginx);
        is(away($nginx) . back($nginx), 11, 'one line each');
        like(($nginx->logged(qr/ is back/))[0], qr/"127\.0\.0\.1:${\$two->port}" is back/, 'the log says where');
    }
    is(made($m), 1, 'one message');

    # The former master is there again, as a replica; then it is the master again.
    $one->start;
    wait_for(sub { $one->cli('INFO', 'replication') =~ /^role:slave\r?\n.*^master_link_status:up/ms }, 'it to be a replica');
    knows($_, 1) for @sentinels;
    wait_for(sub { $sentinels[2]->cli(SENTINEL => 'FAILOVER', 'mymaster'); told_by($sentinels[2]) == $one->port }, 'the way back');
    $from = time;
    for my $nginx (@gateways) {
        my $before = $one->cli('DBSIZE');
        wait_for(sub { told(send_at($nginx)) eq '201' && $one->cli('DBSIZE') > $before }, 'a record there');
    }
    cmp_ok(time - $from, '<', at_most(10), 'and back there');
    $_->quit for @gateways;
    $_->stop for @sentinels, $one, $two;
};


my $redis = redis_server;

subtest 'the next is asked' => sub {
    my $good     = redis_sentinel($redis);
    my $stranger = redis_sentinel($redis, watch => {another => $redis});
    my $replica  = redis_server;
    redis_replica_of($replica, $redis);
    my $old      = redis_fake(sub ($fake, $stream, @words) { $stream->write("*2\r\n\$9\r\n127.0.0.1\r\n\$" . length($replica->port) . "\r\n" . $replica->port . "\r\n") });
    my $mute     = redis_fake(sub (@args) { });
    works(gateway([$stranger, $good]), 'after one that does not know the name');
    works(gateway([$mute, $good], timeout => '1s'), 'after one that does not answer');
    works(gateway([$redis, $good]), 'after a Redis that is no Sentinel');
    my $nginx = gateway([$old, $good]);
    works($nginx, 'after one that tells of a former master');
    is($replica->cli('INFO', 'commandstats') =~ /evalsha:calls=/ ? 1 : 0, 0, 'which gets no command');

    like(why(gateway([$stranger], workers => 1), 'the line'), qr/^no Sentinel tells the master, the last was "127\.0\.0\.1:\d+": it knows no such master: see the name/, 'nobody knows it');
    like(why(gateway([$mute, $stranger, port('nobody')], timeout => '1s', workers => 1), 'the line'), qr/^no Sentinel tells the master, the last was ".*": can't connect \(111: /, 'none there');
    like(why(gateway([$mute], timeout => '1s', workers => 1), 'the line'), qr/": it does not answer \(110: /, 'none that answers');
    $replica->stop;
};

subtest 'all of them gone for a while' => sub {
    my $sentinel = redis_sentinel($redis);
    my $nginx    = gateway([$sentinel]);
    works($nginx);
    $sentinel->kill('KILL');
    wait_for(sub { !$sentinel->alive }, 'it to die');
    works($nginx, 'a connection that is there needs none');
    $redis->cli(qw(CLIENT KILL TYPE normal)) for 1 .. 3;
    wait_for(sub { away($nginx) }, 'the line');
    is(told(send_at($nginx)), '503 store_unavailable unknown', 'a send');
    $sentinel->start;
    my $from = time;
    wait_for(sub { back($nginx) }, 'the line');
    cmp_ok(time - $from, '<', at_most(5), 'back soon');
    works($nginx);
};


# --- Logins ---

my ($password, $other) = map { secret($_) } 'password-of-the-redis', 'password-of-sentinels';
my %files = (redis => "$password\n", sentinel => "$other\n");

subtest 'a user there, who may do no more' => sub {
    my $closed   = redis_server(args => ['--requirepass', $password]);
    my $sentinel = redis_sentinel($closed, conf => ["sentinel auth-pass mymaster $password",
        "user default off", "user gateway on >$other nocommands +ping +sentinel|get-master-addr-by-name", 'user admin on nopass +@all ~*' . (Chatmaid::Test::Redis::version() < 7 ? '' : ' &*')]);
    my $params   = 'password_file=%DIR%/redis sentinel_user=gateway sentinel_password_file=%DIR%/sentinel';
    $closed->cli([AUTH => $password], 'ACL', 'SETUSER', 'gateway', 'on', ">$password", '~chatmaid:*', 'nocommands',
        map { "+$_" } qw(eval evalsha time get set setrange del mget ping role));
    my $nginx = gateway([$sentinel], params => $params, files => \%files, user => 'gateway@');
    works($nginx);
    is($nginx->error_log, '', 'nothing in the log');
    is(scalar(grep { /^reason$/ } split /\n/, $sentinel->cli([AUTH => qw(admin x)], 'ACL', 'LOG')), 0, 'no Sentinel denied anything');
    is(scalar(grep { /^reason$/ } split /\n/, $closed->cli([AUTH => $password], 'ACL', 'LOG')), 0, 'nor did the Redis');

    like(why(gateway([$sentinel], params => 'password_file=%DIR%/redis', files => \%files), 'the line'),
        qr/it answers to PING: "NOAUTH .*: it wants a password/, 'no password');
    like(why(gateway([$sentinel], params => $params, files => {%files, sentinel => "wrong\n"}), 'the line'),
        qr/it answers to AUTH: "WRONGPASS": the user or the password is wrong/, 'a wrong one');
};

subtest 'TLS to both, and a database' => sub {
    my $tls      = redis_server(tls => 'good');
    my $sentinel = redis_sentinel($tls, tls => 'good');
    my $nginx    = gateway([$sentinel], scheme => 'rediss+sentinel', params => 'ca_file=%CA%', path => '/mymaster/3');
    works($nginx);
    like($tls->cli('INFO', 'keyspace'), qr/^db3:keys=\d/m, 'in that database');

    my $wrong = redis_sentinel($tls, tls => 'wrong');
    like(why(gateway([$wrong], scheme => 'rediss+sentinel', params => 'ca_file=%CA%'), 'the line'), qr/IP address mismatch/, "a Sentinel's certificate");
};


# --- What may be said ---

sub says ($bytes) { redis_fake(sub ($fake, $stream, @words) { $stream->write($bytes) }) }
sub pair ($host, $port) { "*2\r\n\$" . length($host) . "\r\n$host\r\n\$" . length($port) . "\r\n$port\r\n" }

subtest 'what is no answer' => sub {
    my $good = redis_sentinel($redis);
    for my $bytes ("*1\r\n\$1\r\nx\r\n", "*0\r\n", "+OK\r\n", ":1\r\n", "*2\r\n:1\r\n:2\r\n", "*2\r\n\$-1\r\n\$-1\r\n",
        pair('127.0.0.1', 0), pair('127.0.0.1', 65536), pair('127.0.0.1', 'x'), pair('', 6379), pair("a\0b", 6379), pair("a\nb", 6379), pair('x' x 256, 6379))
    {
        my $fake  = says($bytes);
        my $name  = $bytes =~ s/\r\n/ /gr =~ s/\0/\\0/r =~ s/\n/\\n/r =~ s/x{9,}/x.../r;
        my $nginx = gateway([$fake], workers => 1);
        like(why($nginx, 'the line'), qr/": what it sends is no reply/, $name);
        $nginx->quit;
        $fake->stop;
    }
    my $fake  = says("-ERR \x01 no\r\n");
    like(why(gateway([$fake], workers => 1), 'the line'), qr/": it answers "ERR \\x01 no"/, 'an error');
    works(gateway([$fake, $good]), 'the next one');
};

subtest 'a name' => sub {
    my $fake = says(pair('redis.test', $redis->port));
    my $nginx = gateway([$fake], workers => 1);
    like(why($nginx, 'the line'), qr/its name can't be resolved: a name that Sentinels or a Cluster tell needs a "resolver"/, 'without a resolver');

    my $dns = dns_server('redis.test' => ['127.0.0.9', '127.0.0.1']);
    $nginx = gateway([$fake], http => 'resolver ' . $dns->address . ' valid=1s;');
    works($nginx, 'with one');

    # One line of a worker, although each question to a Sentinel asks for the name.
    $dns->say('redis.test' => 'servfail');
    pause(2.1);                         # the resolver knows the name for a second
    for (1 .. 3) {
        $redis->cli(qw(CLIENT KILL TYPE normal)) for 1 .. 2;
        works($nginx, 'the last known address');
    }
    wait_for(sub { $nginx->logged(qr/host "redis\.test" can't be resolved/) }, 'the line');
    cmp_ok(scalar(() = $nginx->logged(qr/can't be resolved/)), '<=', 2, 'a line a worker');
    like(why(gateway([says(pair('no.test', 1))], http => 'resolver ' . $dns->address . ';', workers => 1), 'the line'), qr/its name can't be resolved/, 'one that is not known');
};

done;
