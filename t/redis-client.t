#!/usr/bin/perl

# The Redis client against a real server.

use lib 't/lib';
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(at_most);

my $redis = redis_server;


# --- Commands ---

my $nginx = probe($redis->url . ' timeout=5s');

my ($set, $get, $none, $incr, $list, $wrong, $unknown) = ask(
    ['SET', 'k', "a\r\nb\x00c\x{e9}"], ['GET', 'k'], ['GET', 'none'], ['INCR', 'n'],
    ['EVAL', 'return {1, {"x", false}, {}}', '0'], ['INCR', 'k'], ['NOSUCH']);

is($set->{error}, 'ok', 'SET');
is($set->{reply}, 'OK', 'a status');
is_deeply([map { $_->{turn} } $set, $get, $none], [map { Mojo::JSON->true } 1 .. 3],
    'no handler is called before its command() has returned');
is($get->{reply}, "a\r\nb\x00c\xc3\xa9", 'any bytes go there and back');
is($none->{reply}, undef, 'nil');
is($none->{error}, 'ok', 'is no error');
is($incr->{reply}, 1, 'an integer');
is_deeply($list->{reply}, [1, ['x', undef], []], 'arrays in arrays');
is($wrong->{error}, 'error', 'an error of one command');
like($wrong->{reply}, qr/^ERR value is not an integer/, 'has its text');
is($unknown->{error}, 'error', 'an unknown one too');

my $big = 'x' x 3_000_000;
($set, $get) = ask(['SET', 'big', $big], ['GET', 'big']);
ok($get->{reply} eq $big, 'three megabytes, each way');

is_deeply([map { $_->{reply} } ask(map { ['INCR', 'many'] } 1 .. 200)], [1 .. 200],
    '200 at once, in order');
my ($cancelled, $after) = ask({cancel => ['SET', 'c', '1']}, ['GET', 'c']);
is($after->{reply}, '1', 'a cancelled command stays in step');
is(up, 1, 'up');

# redis-cli takes a connection each time, and so did the wait for the server
my $before = $redis->taken;
ask(['PING']) for 1 .. 5;
is($redis->taken - $before, 1, 'one connection for all');


# --- Scripts ---

my $script = {script => 'return {KEYS[1], ARGV[1], ARGV[2]}', keys => ['k'], args => ['a', "\x01"]};
$redis->cli('SCRIPT', 'FLUSH');
my @all = ask($script, $script, $script);
is_deeply($_->{reply}, ['k', 'a', "\x01"], 'a script') for @all;
like($redis->cli('INFO', 'commandstats'), qr/cmdstat_eval:calls=4,/, 'EVAL where it was not known');
ask($script);
like($redis->cli('INFO', 'commandstats'), qr/cmdstat_eval:calls=4,/, 'EVALSHA afterwards');
my ($failing) = ask({script => 'return redis.call("INCR", KEYS[1])', keys => ['k'], args => []});
is($failing->{error}, 'error', 'an error in a script');


# --- A server that refuses ---

$nginx->quit;
$nginx = probe($redis->url . ' timeout=1s');
wait_for(\&up, 'a connection');
$redis->cli('CONFIG', 'SET', 'maxmemory', '1');
my ($oom) = ask(['SET', 'k', 'v']);
is($oom->{error}, 'refused', 'OOM counts as not answering');
is(up, 0, 'down');
ask(['SET', 'k', 'v']) for 1 .. 3;
is(scalar(my @lines = $nginx->logged(qr/is away: it answers "OOM /)), 1, 'one line in the log');
$redis->cli('CONFIG', 'SET', 'maxmemory', '0');

$redis->cli('REPLICAOF', '127.0.0.1', $nginx->port);
my ($readonly) = ask(['SET', 'k', 'v']);
is($readonly->{error}, 'refused', 'READONLY too');
$redis->cli('REPLICAOF', 'NO', 'ONE');
wait_for(sub { (ask(['SET', 'k', 'v']))[0]{error} eq 'ok' }, 'a write');
wait_for(sub { ask(['GET', 'k']); $nginx->logged(qr/ is back/) }, 'calm');
is(up, 1, 'up again');


# --- A server that goes away and comes back ---

sub lines () { scalar(() = $nginx->logged(qr/chatmaid redis .* is (?:away|back)/)) }

my $lines = lines;
$redis->kill('KILL');
wait_for(sub { !$redis->alive }, 'Redis to die');
wait_for(sub { !up }, 'nginx to know it');
my @failed = ask(map { ['GET', 'k'] } 1 .. 20);
is($_->{error}, 'unreachable', 'killed: unreachable') for $failed[0], $failed[19];
cmp_ok($failed[19]{ms}, '<', 990, 'without a timeout');
is($failed[0]{turn}, Mojo::JSON->true, 'but not before the call has returned');
pause(1.5);
$redis->start;
wait_for(\&up, 'nginx to connect by itself');
is((ask(['SET', 'k', 'v']))[0]{error}, 'ok', 'and back by itself');
is(lines() - $lines, 2, 'one line for away, one for back');

$lines = lines;
$redis->kill('STOP');
my ($slow) = ask(['SET', 'stopped', '1']);
is($slow->{error}, 'timeout', 'stopped: a timeout');
cmp_ok($slow->{ms}, '>=', 990, 'after a second');
my $n = 0;
wait_for(sub { $n++; (ask(['GET', 'k']))[0]{error} eq 'unreachable' }, 'it to be given up');
my ($fast) = ask(['GET', 'k']);
is($fast->{error}, 'unreachable', 'silent: closed');
cmp_ok($fast->{ms}, '<', 990, 'and nobody waits');
$redis->kill('CONT');
wait_for(\&up, 'it to be back');
is_deeply([map { $_->{reply} } ask(['SET', 'k', 'w'], ['GET', 'k'])], ['OK', 'w'], 'in step');
is(lines() - $lines, 2, 'one line for away, one for back');

# A pause shorter than what closes the connection: late replies are dropped.
$before = $redis->taken;
$redis->kill('STOP');
my ($first, $late) = ask(['ECHO', 'first'], ['ECHO', 'late']);
$redis->kill('CONT');
is($first->{error}, 'timeout', 'a pause: a timeout');
is($late->{error}, 'timeout', 'and what is behind it');
wait_for(sub { ((ask(['ECHO', 'next']))[0]{reply} // "") eq 'next' }, 'a reply');
is((ask(['ECHO', 'then']))[0]{reply}, 'then', 'still in step');
is($redis->taken - $before, 1, 'on the same connection');

for (1 .. 5) {
    $redis->cli('CLIENT', 'KILL', 'TYPE', 'normal');
    is((ask(['ECHO', "killed $_"]))[0]{error} =~ /^(?:ok|lost|unreachable)$/, 1, 'CLIENT KILL');
}
wait_for(sub { (ask(['ECHO', 'x']))[0]{error} eq 'ok' }, 'a reply');

my ($repeat) = ask({repeat => 2000, window => 50, command => ['SET', 'r%', 'v']});
is($repeat->{kinds}{ok}, 2000, 'handlers that queue the next one');


# --- Reload and quit ---

# A request is under way for sure once Redis, which is stopped, has its command.

sub stopped ($later) {
    wait_for(sub { $redis->unread }, 'the command');
    return $later;
}

$nginx->quit;
$nginx = probe($redis->url . ' timeout=5s');
wait_for(\&up, 'a connection');

my $later = $nginx->later(POST => $nginx->url('/probe'), [{claim => 1500, command => ['SET', 'claimed', '1']}]);
$nginx->reload;
is($later->result->{json}[0]{error}, 'ok', 'reload with a claim open: its command gets through');
is($redis->cli('GET', 'claimed'), '1', 'to Redis');

wait_for(\&up, 'a connection');
$redis->kill('STOP');
$later = stopped($nginx->later(POST => $nginx->url('/probe'), [{repeat => 300, window => 10, command => ['INCR', 'reloaded']}]));
$nginx->reload;
$redis->kill('CONT');
is($later->result->{json}[0]{kinds}{ok}, 300, 'reload with commands pending: all are answered');

wait_for(\&up, 'a connection');
$redis->kill('STOP');
$later = stopped($nginx->later(POST => $nginx->url('/probe'), [['SET', 'quit', '1']]));
$nginx->kill('QUIT');
wait_for(sub { !$nginx->workers }, 'the workers to shut down');
$redis->kill('CONT');
is($later->result->{json}[0]{error}, 'ok', 'the same with quit');
wait_for(sub { !$nginx->alive }, 'nginx to end');

# Either worker may get the request: the connections of both must be there, with
# the greeting behind them, for a command to be sent at all.

sub greeted () { scalar(() = $redis->cli(qw(CLIENT LIST TYPE normal)) =~ / cmd=(?!client|NULL)/g) }

$nginx = probe($redis->url . ' timeout=2s', workers => 2);
is((ask(['SET', 'k', 'v']))[0]{error}, 'ok', 'two workers');
wait_for(sub { greeted == 2 }, 'both to be connected');
$redis->kill('STOP');
$later = stopped($nginx->later(POST => $nginx->url('/probe'), [['SET', 'quit', '1']]));
my $before_quit = time;
$nginx->quit;
is($later->result->{json}[0]{error}, 'timeout', 'quit with a server that is silent');
cmp_ok(time - $before_quit, '<', at_most(10), 'ends all the same');
$redis->kill('CONT');

done;
