# Ten thousand sends over few connections: a worker neither grows nor keeps
# descriptors.

use Chatmaid::Test;
use IO::Select;
use IO::Socket::IP;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);

my $plain = plain_chatmaid(error_log => 'warn');
my $nginx = nginx(
    http      => 'chatmaid_zone chatmaid:64k;',    # full before the count begins
    error_log => 'info',
    gateway   => 'chatmaid_sender +15550100001;',
    server    => 'keepalive_requests 1000000;',
);

my $sends     = volume(10_000, 200);
my $first     = int($sends / 10);
my $sanitized = ($ENV{NGINX} // '') =~ /asan/;
my $worker    = ($nginx->workers)[0];
my @sockets   = map { connection() } 1 .. 8;
my ($serial, %answers) = (0);

sub connection () {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $nginx->port) or die "connect: $@";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return $socket;
}

sub next_send () {
    my $key  = sprintf 'volume-%06d', ++$serial;
    my $body = qq({"to":"+15550100099","text":"Your table is ready, $serial"});
    return "POST /chatmaid/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        . "Idempotency-Key: $key\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

# One under way on each connection, until so many have been answered.

sub run ($count) {
    my $select = IO::Select->new(@sockets);
    my ($asked, $got, %buffer) = (0, 0);
    my $ask = sub ($socket) { $asked++ < $count and syswrite $socket, next_send };
    my $end = time + 300;

    $ask->($_) for @sockets;
    while ($got < $count && time < $end) {
        for my $socket ($select->can_read(30)) {
            sysread $socket, $buffer{$socket}, 65536, length($buffer{$socket} // '') or return $got;
            while ($buffer{$socket} =~ /\AHTTP\/1\.1 (\d+) .*?\r\nContent-Length: (\d+)\r\n.*?\r\n\r\n/s) {
                my ($status, $size) = ($1, $+[0] + $2);
                last if length $buffer{$socket} < $size;
                substr $buffer{$socket}, 0, $size, '';
                $answers{$status}++;
                $got++;
                $ask->($socket);
            }
        }
    }
    return $got;
}

sub measure () {
    return ($nginx->rss($worker), $nginx->descriptors($worker, callers => $nginx->port, upstream => $plain->port));
}


my $start = time;
is(run($first), $first, 'the first tenth');
my ($rss, $fds) = measure;
is(run($sends - $first), $sends - $first, 'the rest');
my ($rss_end, $fds_end) = measure;
my $took = time - $start;

note(sprintf '%d sends in %.1f s; RSS %d KiB after the first tenth, %d KiB at the end; descriptors: %s', $sends, $took,
    $rss, $rss_end, join ', ', map { "$_ $fds->{$_} and $fds_end->{$_}" } sort keys %$fds_end);

is_deeply(\%answers, {201 => $sends}, 'each answered with 201');
SKIP: {
    skip 'freed memory is kept by the sanitizer', 1 if $sanitized;
    cmp_ok($rss_end - $rss, '<=', 1024, 'no growth of memory, in KiB');
}
is_deeply($fds_end, {%$fds, callers => 8, upstream => $fds_end->{upstream}}, 'no more descriptors');
cmp_ok($fds_end->{upstream}, '<=', 8, 'at most one kept upstream connection for each caller');
is(($nginx->workers)[0], $worker, 'by the same worker');

my $calls = () = slurp(dir . '/plain/access.log') =~ /"POST \/v1\/messages\/send /g;
is($calls, $sends, 'each called once');
unlink dir . '/plain/access.log';               # Chatmaid may see the key, and logs it

close $_ for splice @sockets;
ok(wait_for(sub { (measure)[1]{callers} == 0 }), "the callers' connections are closed");
is_deeply((measure)[1], {%$fds_end, callers => 0}, 'and nothing else');
done;
