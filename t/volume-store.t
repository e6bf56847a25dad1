# A hundred thousand operations through a zone that holds some hundreds, without
# Redis and with it: a worker neither grows nor keeps descriptors.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use IO::Select;
use IO::Socket::IP;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

my $plain     = plain_chatmaid(error_log => 'warn');
my $sends     = volume(100_000, 400);
my $sanitized = ($ENV{NGINX} // '') =~ /asan/;
my $calls     = 0;

sub connection ($port) {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port) or die "connect: $@";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return $socket;
}

sub next_send ($name) {
    state $serial = 0;
    my $body = sprintf '{"to":"+15550100099","text":"Your table is ready, %d"}', ++$serial;
    return "POST /chatmaid/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        . "Idempotency-Key: $name-$serial\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# One under way on each connection, until so many have been answered.

sub run ($name, $sockets, $count, $answers) {
    my $select = IO::Select->new(@$sockets);
    my ($asked, $got, %buffer) = (0, 0);
    my $ask = sub ($socket) { $asked++ < $count and syswrite $socket, next_send($name) };
    my $end = time + 600;

    $ask->($_) for @$sockets;
    while ($got < $count && time < $end) {
        for my $socket ($select->can_read(30)) {
            sysread $socket, $buffer{$socket}, 65536, length($buffer{$socket} // '') or return $got;
            while ($buffer{$socket} =~ /\AHTTP\/1\.1 (\d+) (.*?\r\n)Content-Length: (\d+)\r\n(.*?)\r\n\r\n/s) {
                my ($status, $head, $size) = ($1, $2 . $4, $+[0] + $3);
                last if length $buffer{$socket} < $size;
                substr $buffer{$socket}, 0, $size, '';
                $answers->{$head =~ /^Idempotent-Replayed:/mi ? 'replayed' : $status}++;
                $got++;
                $ask->($socket);
            }
        }
    }
    return $got;
}

sub called () { scalar(() = slurp($plain->dir . '/access.log') =~ /"POST \/v1\/messages\/send /g) }

sub flat ($name, $redis) {
    my $nginx = nginx(name => "volume-$name", error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        server => 'keepalive_requests 1000000; access_log off;',
        http   => 'chatmaid_zone chatmaid:512k;' . ($redis ? 'chatmaid_redis ' . $redis->url . ' timeout=30s;' : ''));
    my @sockets = map { connection($nginx->port) } 1 .. 8;
    my $worker  = ($nginx->workers)[0];
    my $first   = int($sends / 10);
    my %port    = (callers => $nginx->port, upstream => $plain->port, $redis ? (redis => $redis->port) : ());
    my $measure = sub () { ($nginx->rss($worker), $nginx->descriptors($worker, %port)) };
    my $start   = time;
    my %answers;

    is(run($name, \@sockets, $first, \%answers), $first, 'the first tenth');
    my ($rss, $fds) = $measure->();
    is(run($name, \@sockets, $sends - $first, \%answers), $sends - $first, 'the rest');
    my ($rss_end, $fds_end) = $measure->();

    note(sprintf '%s: %d sends in %.1f s; RSS %d KiB after the first tenth, %d KiB at the end; descriptors: %s', $name, $sends,
        time - $start, $rss, $rss_end, join ', ', map { "$_ $fds->{$_} and $fds_end->{$_}" } sort keys %$fds_end);
    is_deeply(\%answers, {201 => $sends}, 'each answered with 201, none a replay');
    SKIP: {
        skip 'freed memory is kept by the sanitizer', 1 if $sanitized;
        cmp_ok($rss_end - $rss, '<=', 1024, 'no growth of memory, in KiB');
    }
    is_deeply($fds_end, {%$fds, callers => 8, upstream => $fds_end->{upstream}, $redis ? (redis => 1) : ()}, 'no more descriptors');
    cmp_ok($fds_end->{upstream}, '<=', 8, 'at most one kept upstream connection for each caller');
    is(($nginx->workers)[0], $worker, 'by the same worker');
    is(called() - $calls, $sends, 'each called once');
    $calls += $sends;

    close $_ for splice @sockets;
    ok(wait_for(sub { ($measure->())[1]{callers} == 0 }), "the callers' connections are closed");
    is_deeply(($measure->())[1], {%$fds_end, callers => 0}, 'and nothing else');
    return $nginx;
}

subtest 'in the zone alone' => sub {
    my $nginx = flat('zone', undef);
    is(scalar(my @full = $nginx->logged(qr/\[error\].*zone is full/)), 1, 'it was full, and said so once');
};

subtest 'in Redis' => sub {
    my $redis = redis_server;
    my $nginx = flat('redis', $redis);
    is($redis->cli('DBSIZE'), $sends, 'a record for each');
    is(scalar($nginx->logged(qr/zone is full/)), 0, 'the zone was not full');
    is(scalar($nginx->logged(qr/is away/)), 0, 'Redis was never away');
};

unlink $plain->dir . '/access.log';             # Chatmaid may see the key, and logs it
done;
