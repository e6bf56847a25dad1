#!/usr/bin/perl

# The Redis client against a scripted server: replies in pieces, replies that are
# none, that never end, errors of each kind, silence, and connections that close.

use lib 't/lib';
use Chatmaid::Test::Redis;
use Mojo::IOLoop;

my ($answer, $greeting);                # what the server does now
my $fake = redis_fake(
    sub (@args) { $answer->(@args) },
    greeting => sub (@args) { $greeting && $greeting->(@args) });
my $nginx = probe($fake->url . ' timeout=5s');

sub lines ()     { scalar(() = $nginx->logged(qr/chatmaid redis .* is (?:away|back)/)) }
sub settled ()   { wait_for(\&up, 'the client to be back') }
sub echo (@args) { $args[1]->write("+OK\r\n") }
sub hang_up ($stream) { Mojo::IOLoop->timer(0.01 => sub { $stream->close }) }


# --- Every split ---

my %reply = (
    "+OK\r\n"                        => 'OK',
    ":-42\r\n"                       => -42,
    "\$5\r\na\r\nbc\r\n"             => "a\r\nbc",
    "\$0\r\n\r\n"                    => '',
    "\$-1\r\n"                       => undef,
    "*-1\r\n"                        => undef,
    "*0\r\n"                         => [],
    "*3\r\n:1\r\n*2\r\n+a\r\n\$-1\r\n\$1\r\nb\r\n" => [1, ['a', undef], 'b'],
    "-ERR no\r\n"                    => 'ERR no',
);
for my $bytes (sort keys %reply) {
    my @bad;
    for my $at (0 .. length $bytes) {
        my $commands = 0;
        $answer = sub ($fake, $stream, @words) {
            return if ++$commands < 2;
            $stream->write(substr $bytes, 0, $at) if $at;
            Mojo::IOLoop->timer(0.01 => sub { $stream->write(substr($bytes, $at) . "+next\r\n") });
        };
        my ($one, $two) = ask(['ONE'], ['TWO']);
        push @bad, $at if flat($one->{reply}) ne flat($reply{$bytes}) || flat($two->{reply}) ne '<next>';
    }
    is("@bad", '', 'each split of ' . $bytes =~ s/\r\n/ /gr);
}

sub flat ($value) {
    return 'nil' unless defined $value;
    return ref $value ? '[' . join(',', map { flat($_) } @$value) . ']' : "<$value>";
}

my @pieces = split //, join '', map { "\$1\r\n$_\r\n" } 0 .. 9;
my $asked  = 0;
$answer = sub ($fake, $stream, @words) {
    return if ++$asked < 10;
    my $write;
    $write = sub { $stream->write(shift(@pieces), sub { @pieces ? $write->() : undef $write }) };
    $write->();
};
is_deeply([map { $_->{reply} } ask(map { ['N', $_] } 0 .. 9)], [0 .. 9], 'ten replies byte by byte');
is($fake->taken, 1, 'all on one connection');


# --- What is no reply ---

for my $case (['hello' => "hello\r\n"], ['HTTP' => "HTTP/1.1 400 Bad Request\r\n\r\n"], ['bad length' => "\$x\r\n"],
    ['negative length' => "\$-5\r\n"], ['no number' => ":12a\r\n"], ['huge array' => "*2147483647\r\n"],
    ['larger array' => "*99999999999999\r\n"], ['negative array' => "*-7\r\n"], ['65537 elements' => "*65537\r\n"],
    ['elements in all' => "*60000\r\n*60000\r\n"],
    ['nine deep' => "*1\r\n" x 9 . "+x\r\n"],
    # RESP3, which nobody asked for, and newer versions of hiredis read
    ['a map' => "%1\r\n+a\r\n+b\r\n"], ['a set' => "~1\r\n+a\r\n"], ['a push' => ">1\r\n+a\r\n"], ['an attribute' => "|1\r\n+a\r\n+b\r\n"],
    ['a double' => ",1.5\r\n"], ['a boolean' => "#t\r\n"], ['a large number' => "(12345678901234567890\r\n"],
    ['a verbatim string' => "=5\r\ntxt:a\r\n"], ['in an array' => "*1\r\n#t\r\n"],
    ['NUL' => "\0\0\0\0"])
{
    my ($name, $bytes) = @$case;
    settled;
    $answer = sub ($fake, $stream, @words) { $stream->write($bytes) };
    my $lines = lines;
    my ($got) = ask(['ONE']);
    is($got->{error}, 'protocol', "$name: a protocol error");
    $answer = \&echo;
    settled;
    is((ask(['X']))[0]{reply}, 'OK', 'and a new connection works');
    is(lines() - $lines, 2, 'two lines in the log');
}

# Newer versions of hiredis take any depth.
settled;
$answer = sub ($fake, $stream, @words) { $stream->write("*1\r\n" x 8 . "+x\r\n") };
is(flat((ask(['DEEP']))[0]{reply}), '[' x 8 . '<x>' . ']' x 8, 'eight deep: a reply');

# Replies without an end: more of them than any bound, in each form.
for my $case (['a bulk string' => "\$900000000\r\n" . 'x' x 60_000, 'x' x 60_000],
    ['a line' => '+', 'x' x 60_000], ['an array' => "*60000\r\n", "\$1000\r\n" . 'x' x 1000 . "\r\n"])
{
    my ($name, $begin, $more) = @$case;
    settled;
    my ($bytes, $closed) = (0, 0);
    $answer = sub ($fake, $stream, @words) {
        $stream->on(close => sub { $closed++ });
        my $write;
        $write = sub { $bytes += length $more; $closed ? undef $write : $stream->write($more x 10, $write) };
        $stream->write($begin, $write);
    };
    my ($got) = ask(['ENDLESS']);
    like($got->{error}, qr/^(?:protocol|timeout)$/, "$name without an end");
    wait_for(sub { $closed }, 'the connection to be closed');
    ok($closed, 'is closed');
}
$answer = \&echo;
settled;
cmp_ok($nginx->rss(($nginx->workers)[0]), '<', 100_000, 'and took no memory for long') unless $ENV{CHATMAID_PATIENCE};


# --- Errors ---

$nginx->quit;
$nginx = probe($fake->url . ' timeout=1s');
settled;

my %error = map { $_ => 'refused' } 'LOADING Redis is loading', 'NOAUTH no',
    'WRONGPASS no', 'OOM no', 'MISCONF no', 'NOPERM no', 'BUSY no', 'CLUSTERDOWN no', 'LOADING',
    'MOVED 1 127.0.0.1:1', 'ASK 1 127.0.0.1:1', 'NOREPLICAS no',
    'ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed',
    # of a command in a script: Redis 6, 7.0, 7.2
    'ERR Error running script (call to f_1): @user_script:1: The user executing the script can\'t run this command or subcommand',
    'ERR The user executing the script can\'t run this command or subcommand script: 1, on @user_script:1.',
    'ERR ACL failure in script: User gateway has no permissions to run the \'set\' command script: 1, on @user_script:1.';
$error{$_} = 'error' for 'ERR no', 'WRONGTYPE no', 'BUSYGROUP no', 'OOMPH no', '', 'LOADINGS', 'NOSCRIPT no',
    'ERR Error running script (call to f_1): @user_script:1: no';

my $lines = lines;
for my $text (sort keys %error) {
    $answer = sub ($fake, $stream, @words) { $stream->write("-$text\r\n") };
    my $taken = $fake->taken;
    my ($got, $second);
    wait_for(sub { ($got, $second) = ask(['ONE'], ['TWO']); ($got->{reply} // "none") eq $text }, $text);
    is($got->{error}, $error{$text}, "\"$text\"");
    is($second->{reply}, $text, 'and so is the next in step') ;
    if ($text =~ /NOAUTH|WRONGPASS/) {
        wait_for(sub { $fake->taken > $taken }, "a new connection after $text");
    }
}
is(lines() - $lines, 1, 'one line in the log for all');

# What a replica says: the connection is left, and a master that answers is back at
# once.
for my $text ('READONLY You can\'t write', 'MASTERDOWN no',
    'ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can\'t')
{
    $answer = \&echo;
    wait_for(sub { ask(['X']); up }, 'calm');
    pause(1.2);                         # so that the connection counts as a good one
    $lines = lines;
    my $taken = $fake->taken;
    $answer = sub ($fake, $stream, @words) { $stream->write("-$text\r\n") };
    my ($got, $second) = ask(['ONE'], ['TWO']);
    $answer = \&echo;
    is($got->{error}, 'refused', "\"$text\"");
    is($second->{reply}, $text, 'and so is the next in step') ;
    wait_for(sub { $fake->taken > $taken }, "a new connection after $text");
    wait_for(\&up, 'the master');
    is(lines() - $lines, 2, 'away and back');
}

$answer = \&echo;
wait_for(sub { ask(['X']); up }, 'calm');
$answer = sub ($fake, $stream, @words) { $stream->write("-MOVED 3999 \"1\x01\\\xff" . 'x' x 500 . "\r\n") };
ask(['ONE']);
like(($nginx->logged(qr/Cluster/))[-1], qr/it answers "MOVED 3999 \\x221\\x01\\x5C\\xFFx{110,120}": another node of its Redis Cluster has the slot, see redis\+cluster:\/\/;/,
    'bytes from outside are escaped and capped');
$answer = \&echo;
wait_for(sub { ask(['X']); up }, 'calm');


# --- Scripts ---

my (@seen, $late);
$answer = sub ($fake, $stream, @words) { push @seen, \@words; $stream->write($words[0] eq 'EVALSHA' ? "-NOSCRIPT no\r\n" : "+done\r\n") };
my ($got) = ask({script => 'return 1', keys => ['k'], args => ["a\r\n", 'b']});
is($got->{reply}, 'done', 'EVAL after NOSCRIPT');
is_deeply($seen[1], ['EVAL', 'return 1', '1', 'k', "a\r\n", 'b'], 'with the same arguments');
is_deeply($seen[0], ['EVALSHA', 'e0e1f9fabfc9d4800c877a703b823ac0578ff8db', '1', 'k', "a\r\n", 'b'], 'the digest');
$answer = sub ($fake, $stream, @words) { $stream->write("-NOSCRIPT never\r\n") };
is((ask({script => 'return 1', keys => [], args => []}))[0]{error}, 'error', 'NOSCRIPT to EVAL too: an error');
$answer = sub ($fake, $stream, @words) {
    $words[0] eq 'EVALSHA' ? $stream->write("-NOSCRIPT no\r\n") : ($late = $stream);
};
($got) = ask({script => 'return 1', keys => [], args => []});
is($got->{error}, 'timeout', 'NOSCRIPT, then silence: a timeout');
$late->write("+late\r\n");
cmp_ok($got->{ms}, '<', 1900, 'within one timeout');


# --- Silence, late replies, closing ---

$answer = \&echo;
wait_for(sub { ask(['X']); up }, 'calm');
my $taken = $fake->taken;
$answer = sub ($fake, $stream, @words) { $late = $stream };
($got) = ask(['LATE', 'a']);
is($got->{error}, 'timeout', 'late: a timeout');
$late->write("+a\r\n");
$answer = sub ($fake, $stream, @words) { $stream->write("+$words[1]\r\n") };
wait_for(sub { ((ask(['LATE', 'c']))[0]{reply} // "") eq 'c' }, 'step');
is($fake->taken, $taken, 'in step, and the connection is the same');
is(scalar(() = $nginx->logged(qr/no reply in time/)) > 0, 1, 'a line in the log');

# The server hangs with a command that nobody waits for: the next has its own timeout.
$answer = sub ($fake, $stream, @words) { $late = $stream };
is((ask(['HANGS', $_]))[0]{error}, 'timeout', "$_: each has its own timeout") for qw(first second);
$late->write("+first\r\n+second\r\n");
$answer = sub ($fake, $stream, @words) { $stream->write("+$words[1]\r\n") };
wait_for(sub { ((ask(['LATE', 'c']))[0]{reply} // "") eq 'c' }, 'step');
$taken = $fake->taken;

$answer = sub (@args) { };
my $n = 0;
wait_for(sub { (ask(['SILENT']))[0]{error} eq 'lost' || ++$n > 5 || $fake->taken > $taken }, 'it to be closed');
wait_for(sub { $fake->taken > $taken }, 'a new connection');
$answer = \&echo;
settled;

for my $reply ('', '+O', "\$10\r\nabc") {
    $answer = sub ($fake, $stream, @words) { $stream->write($reply) if length $reply; hang_up($stream) };
    my @got = ask(['A'], ['B']);
    is($_->{error}, 'lost', 'closed after "' . $reply =~ s/\r\n/ /r . '"') for @got;
    $answer = \&echo;
    settled;
    is((ask(['X']))[0]{error}, 'ok', 'and back');
}
$answer = sub ($fake, $stream, @words) { $stream->write("+first\r\n"); hang_up($stream) };
my @got = ask(['A']);
is($got[0]{error}, 'ok', 'a reply, then the close');
$answer = \&echo;
wait_for(sub { (ask(['X']))[0]{error} eq 'ok' }, 'back');

# --- Greetings ---

# What requests have met of late keeps the line "is back" waiting, and without it
# there is no new "is away".
sub calm () {
    wait_for(sub {
        ask(['X']);
        my ($away, $back) = map { my $pattern = $_; scalar(() = $nginx->logged($pattern)) } qr/is away/, qr/is back/;
        $away == $back;
    }, 'Redis to be back in the log');
}

sub reconnect ($with) {
    calm;
    $greeting = $with;
    $_->close for values %{$fake->{streams}};
    wait_for(sub { !up }, 'the failed greeting');
    my ($got) = ask(['X']);
    is($got->{error}, 'unreachable', 'no command is sent');
    $greeting = undef;
    settled;
    is((ask(['X']))[0]{error}, 'ok', 'until the greeting has worked');
}
reconnect(sub ($fake, $stream, @words) { $stream->write("-LOADING Redis is loading\r\n") });
like(($nginx->logged(qr/LOADING Redis/))[-1], qr/it answers to PING: "LOADING Redis is loading"/, 'LOADING');
reconnect(sub ($fake, $stream, @words) { 1 });
like(($nginx->logged(qr/is away/))[-1], qr/can't connect .*timed out/, 'silence');
reconnect(sub ($fake, $stream, @words) { hang_up($stream); 1 });
like(($nginx->logged(qr/is away/))[-1], qr/it closed the connection/, 'a close');
reconnect(sub ($fake, $stream, @words) { $stream->write("nonsense\r\n"); 1 });
like(($nginx->logged(qr/is away/))[-1], qr/what it sends is no reply/, 'nonsense');

# What repeats its arguments must not put the password into the log.
my $password = secret('a-password-that-is-repeated');
my $echoing  = redis_fake(\&echo, greeting => sub ($fake, $stream, @words) {
    $stream->write("-ERR unknown command `$words[0]`, with args beginning with: " . join(' ', map { "`$_`" } @words[1 .. $#words]) . "\r\n") });
my $other = probe($echoing->url('us%65r@') . '/3 password_file=%DIR%/password', files => {password => $password});
wait_for(sub { $other->logged(qr/is away: it answers to AUTH: "ERR":/) }, 'the refusal');
is_deeply([@{$echoing->greeted}[0 .. 2]], [['AUTH', 'user', $password], ['SELECT', '3'], ['PING']], 'the greeting');
ok(wait_for(sub { grep { $_->[0] eq 'ROLE' } @{$fake->greeted} }, 'ROLE'), 'and the question for its role');

# Quit while a reply is due that comes, and one that does not.
my $quitting = probe($fake->url . ' timeout=2s');
wait_for(\&up, 'a connection');
my $due;
$answer = sub ($fake, $stream, @words) { $due = $stream if $words[0] eq 'LATE' };
my $later = $quitting->later(POST => $quitting->url('/probe'), [['LATE'], ['NEVER']]);
wait_for(sub { $due }, 'the commands');
$quitting->kill('QUIT');
wait_for(sub { !$quitting->workers }, 'the worker to shut down');
$due->write("+late\r\n");
is_deeply([map { $_->{error} } @{$later->result->{json}}], ['ok', 'timeout'], 'quit with commands pending');
wait_for(sub { !$quitting->alive }, 'nginx to end');


# --- Connections that do not last ---

# Time enough for a command to wait for the next connection.
my $fickle  = redis_fake(sub (@args) { $answer->(@args) }, greeting => sub (@args) { $greeting && $greeting->(@args) });
my $patient = probe($fickle->url . ' timeout=5s');

# Waits until there is a connection, and then for longer than the second by which
# it has proved itself.
sub lasts () { settled; pause(1.5) }
sub logged ($pattern) { scalar(() = $patient->logged(qr/chatmaid redis .* is $pattern/)) }

$answer = \&echo;
lasts;
$_->close for values %{$fickle->{streams}};
is((ask(['X']))[0]{error}, 'ok', 'an idle close: a command waits for another connection');
lasts;
is(logged('(?:away|back)'), 0, 'nothing in the log');

$answer = sub ($fake, $stream, @words) { $stream->write("+OK\r\n"); hang_up($stream) };
for (1 .. 3) {
    is((ask(['X']))[0]{error}, 'ok', 'closed after a reply: idle, too');
    wait_for(sub { !%{$fickle->{streams}} }, 'the close');
}
$answer = \&echo;
lasts;
is(logged('(?:away|back)'), 0, 'nothing in the log');

$greeting = sub ($fake, $stream, @words) {
    return if $words[0] ne 'PING';
    $stream->write("+PONG\r\n");
    Mojo::IOLoop->timer(0.3 => sub { $stream->close });
};
$answer = sub (@args) { };
$_->close for values %{$fickle->{streams}};
is((ask(['X']))[0]{error}, 'lost', 'closed before the reply') for 1 .. 4;
is(logged('away: it closed the connection'), 1, 'lost once');
$answer = \&echo;
wait_for(sub { (ask(['X']))[0]{error} eq 'ok' }, 'a reply');
is(logged('back'), 0, 'a reply on such a connection is no proof');
is(up, 0, 'it is not up');
$greeting = undef;
lasts;
is(up, 1, 'but one that lasts is');
is(logged('back'), 1, 'back, once');
is(logged('away'), 1, 'no other line');

done;
