# Thousands of events with random repeats, through two edges on one Redis, to a
# receiver that fails one time in three: each is delivered, and none is handed on
# again after an edge has acknowledged it.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use List::Util qw(max);
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my $receiver = receiver;
my $redis    = redis_server;
my @edges    = map { edge(name => "edge$_", workers => 2, error_log => 'notice', webhook => 'proxy_read_timeout 300ms;',
    http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;') } 1, 2;

# Each ninth request, three ways: an error, no answer, one that comes too late.
$receiver->fault({status => 500, times => 0, every => 9}, {close => 'before', times => 0, every => 8}, {delay => 600, times => 0, every => 7});

my $count = volume(10_000, 200);
my $start = time;
my @todo  = map { {n => $_, due => 0} } 1 .. $count;
my $moved = $start;
my (%acknowledged, %codes, @pending);

$_->{body} = event('message.received', {n => $_->{n}}) for @todo;

# Chatmaid signs anew or not, comes again after a failure, and sometimes without
# one: at once, or when the event has long been delivered.

sub deliver ($one) {
    my $edge = $edges[rand @edges];
    $one->{t} //= int time;
    $one->{request} = hook_later_at($edge, $one->{body}, rand > 0.5 ? signed($one->{body}, t => $one->{t}) : ());
    push @pending, $one;
}

while (@todo || @pending) {
    die 'it does not go on' if time - $moved > 120;
    while (@pending < 60 && @todo && $todo[0]{due} <= time) {
        my $one = shift @todo;
        deliver($one);
        deliver({%$one, repeat => 1}) if rand() < 0.1;
    }

    my @left;
    for my $one (splice @pending) {
        push @left, $one and next unless $one->{request}->done;
        my $code = code($one->{request}->answer);
        $codes{$code}++;
        $moved = time;
        $acknowledged{$one->{n}} //= time if $code eq '200';
        next if $one->{repeat};
        push @todo, {%$one, due => time + 0.05 + rand 0.2} if $code ne '200';
        push @todo, {%$one, due => time + rand 1, repeat => 1} if $code eq '200' && rand() < 0.2;
    }
    unshift @pending, @left;
    Mojo::IOLoop->timer(0.002 => sub { });
    Mojo::IOLoop->one_tick;
}
my $took = time - $start;

# What the receiver saw, by event: how often, and when the last one began.
my (%tries, %succeeded, %late);
for my $request ($receiver->requests) {
    my $n = decode_json($request->{body})->{data}{n};
    $tries{$n}++;
    $succeeded{$n} = 1 if ($request->{status} // 0) == 200 && !$request->{aborted};
    $late{$n} = $request->{time} if $acknowledged{$n} && $request->{time} > $acknowledged{$n};
}

note(sprintf '%d events in %.1f s; answers: %s; requests at the receiver: %d, at most %d for one', $count, $took,
    join(', ', map { "$_: $codes{$_}" } sort keys %codes), scalar $receiver->requests, max values %tries);
is(scalar keys %acknowledged, $count, 'each is acknowledged in the end');
is(scalar(grep { $succeeded{$_} } 1 .. $count), $count, 'each has been delivered successfully');
is(scalar keys %late, 0, 'none is handed on after that');
my $failed = 1 - $count / $receiver->count;
cmp_ok($failed, '>', 0.2, 'the receiver failed often');
is(scalar(grep { !/^(?:200|500|50[24] .*|503 delivery_in_flight)$/ } keys %codes), 0, 'no other answers');
for my $status (200, 500, 502, 504) { ok((grep { /^$status/ } keys %codes), "answers: $status") }

$receiver->clear_faults;
is(code(hook_at($edges[$_ % 2], event('message.received'))), 200, 'all is well afterwards') for 0, 1;
done;
