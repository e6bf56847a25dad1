# The durable inbox: an event is answered 200 once it is in the Redis stream, and
# is there once, whatever happens.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use List::Util qw(shuffle uniq);
use Time::HiRes qw(time);

my $receiver = receiver;                # nothing may ever reach it
my $redis    = redis_server(args => [qw(--appendonly yes --appendfsync always)]);

sub inbox ($options = '', %more) {
    state $serial = 0;
    return edge(name => 'inbox' . ++$serial, error_log => 'notice', webhook => "chatmaid_webhook_stream inbox $options;",
        http => 'chatmaid_redis ' . $redis->url . ' timeout=' . ($more{timeout} // '30s') . ';', %more);
}

# Entries as hashes, read without a word of them being escaped.
sub entries ($stream = 'inbox') {
    my $socket = IO::Socket::UNIX->new(Peer => $redis->socket) or die "connect: $!";
    print $socket "XRANGE $stream - +\r\n";
    $socket->flush;
    my ($line, $bulk);
    $line = sub { <$socket> =~ s/\r\n\z//r };
    my $value;
    $value = sub {
        my $head = $line->();
        return [map { $value->() } 1 .. $1] if $head =~ /\A\*(\d+)/;
        die $head unless $head =~ /\A\$(\d+)/;
        read $socket, my $bytes, $1 + 2;
        return substr $bytes, 0, -2;
    };
    return map { +{id => $_->[0], @{$_->[1]}} } @{$value->()};
}

sub killed () {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
}

my $edge = inbox;

subtest 'an entry' => sub {
    my $body   = event('message.received', {messageId => 'inmsg_1', content => "\x{e9}\x{1F600}\r\n\"' \0"}, '2026-07-25T17:21:00.500Z');
    my $before = time;
    my $answer = hook($body, 'X-Case' => 'first');
    is($answer->{status}, 200, 'answered');
    my ($entry) = entries;
    is_deeply([sort keys %$entry], [qw(body event id message_id received timestamp)], 'its fields');
    is($entry->{event}, 'message.received', 'event');
    is($entry->{message_id}, 'inmsg_1', 'message_id');
    is($entry->{timestamp}, '2026-07-25T17:21:00.500Z', 'timestamp');
    ok($entry->{body} eq $body, 'body, byte for byte');
    like($entry->{received}, qr/^\d{13}$/, 'received, in milliseconds');
    cmp_ok(abs($entry->{received} / 1000 - $before), '<', 10, 'of now');
    is($receiver->count, 0, "the location's own handler is not called");
    ok(wait_for(sub { $edge->access_log =~ /"verified\|message\.received\|inmsg_1\|[^|]+" first$/m }), 'variables');

    is(code(hook('{"event":"odd"}')), 200, 'an event of nothing but a name');
    my $odd = (entries)[1];
    is_deeply([map { $_ // '' } @$odd{qw(event message_id timestamp body)}], ['odd', '', '', '{"event":"odd"}'], 'empty fields');
    is(code(hook(event('message.sent', {text => 'x' x 900_000}))), 200, 'a large one');
    is(length((entries)[2]{body}) > 900_000, 1, 'whole');
    is($redis->cli('TYPE', 'inbox'), 'stream', 'the key as written, without the prefix');
};

subtest 'what is no event' => sub {
    my $before = $redis->cli('XLEN', 'inbox');
    my $body   = event('message.sent');
    is(code(hook($body, signed($body, secret => 'another'))), '401 signature_mismatch', 'forged');
    is(code(hook('7')), '400 invalid_event', 'no object');
    is(code(request(GET => url('/webhooks/chatmaid'))), '405 method_not_allowed', 'GET');
    is($redis->cli('XLEN', 'inbox'), $before, 'nothing is added');
};

subtest 'duplicates' => sub {
    $redis->cli('DEL', 'inbox');
    my $other = inbox;
    my $body  = event('message.sent');
    is(code(hook_at($_, $body)), 200, 'at both edges, twice') for $edge, $other, $edge, $other;
    is($redis->cli('XLEN', 'inbox'), 1, 'one entry');
    my @bodies = map { event('message.sent') } 1 .. 20;
    my @all    = map { my $body = $_; map { hook_later_at($_, $body) } $edge, $other, $edge } @bodies;
    is(scalar(grep { $_->result->{status} == 200 } @all), 60, 'many at once');
    is($redis->cli('XLEN', 'inbox'), 21, 'one entry each');
    my $fast = inbox('', http => 'chatmaid_webhook_dedup 0; chatmaid_redis ' . $redis->url . ' timeout=30s;');
    is(code(hook_at($fast, $body)), 200, 'without deduplication') for 1 .. 2;
    is($redis->cli('XLEN', 'inbox'), 23, 'each is an entry');
};

subtest 'maxlen' => sub {
    $redis->cli('DEL', 'inbox');
    my $short = inbox('maxlen=100');
    $_->result for map { hook_later_at($short, event('message.sent')) } 1 .. 400;
    my $length = $redis->cli('XLEN', 'inbox');
    cmp_ok($length, '>=', 100, 'no shorter than it says');
    cmp_ok($length, '<', 300, 'nor much longer');
};

subtest 'Redis cannot take it' => sub {
    $redis->cli('DEL', 'inbox');
    my $strict = inbox('', http => 'chatmaid_redis ' . $redis->url . ' timeout=500ms fallback=zone;');
    my $body   = event('message.sent');
    my $refused = sub ($name) {
        my $answer = hook_at($strict, $body);
        is(code($answer), '503 store_unavailable', "$name: refused");
        like($answer->{headers}{'retry-after'}, qr/^[1-9][0-9]*$/, "$name: Retry-After");
    };
    my $taken = sub ($name, $count) {
        ok(wait_for(sub { code(hook_at($strict, $body)) eq '200' }), "$name: then it is taken");
        is($redis->cli('XLEN', 'inbox'), $count, "$name: once");
        $body = event('message.sent');
    };

    $redis->cli('SET', 'inbox', 'no stream');
    $refused->('another type');
    $redis->cli('DEL', 'inbox');
    $taken->('another type', 1);

    $redis->cli(qw(CONFIG SET maxmemory 1));
    $refused->('full');
    $redis->cli(qw(CONFIG SET maxmemory 0));
    $taken->('full', 2);

    $redis->cli('REPLICAOF', '127.0.0.1', port('nobody'));
    $refused->('a replica');
    $redis->cli(qw(REPLICAOF NO ONE));
    $taken->('a replica', 3);

    $redis->kill('STOP');
    $refused->('stopped');
    $redis->kill('CONT');
    $taken->('stopped', 4);

    killed;
    $refused->('killed');
    $redis->start;
    $taken->('killed', 5);
    is(scalar(grep { !length $_->{body} } entries), 0, 'no half entry');
};

# Senders that repeat each event until it is acknowledged, as Chatmaid does, and
# sometimes beyond that.
subtest 'Redis is killed again and again' => sub {
    $redis->cli('DEL', 'inbox');
    my @edges = map { inbox('', timeout => '1s', workers => 2) } 1, 2;
    my $count = volume(10_000, 200);
    my @todo  = map { {body => event('message.sent', {n => $_}), due => 0} } 1 .. $count;
    my ($kills, $asked, %acknowledged, %refused, @pending) = (0, 0);
    my $next  = $count / 20;             # acknowledged events, until the next kill
    my $up    = 0;
    my $moved = time;

    while (@todo || @pending) {
        die 'it does not go on' if time - $moved > 120;
        while (@pending < 40 && @todo && $todo[0]{due} <= time) {
            my $one = shift @todo;
            $one->{request} = hook_later_at($edges[rand @edges], $one->{body});
            $one->{asked}++;
            push @pending, $one;
        }
        if ($redis->alive && $kills < 12 && keys %acknowledged >= $next) {
            killed;
            $kills++;
            $next += $count / 15 * (0.5 + rand);
            $up = time + rand 0.5;
        }
        $redis->start if $up < time && !$redis->alive;
        my @left;
        for my $one (@pending) {
            push @left, $one and next unless $one->{request}->done;
            my $code = code($one->{request}->answer);
            if ($code eq '200') { $acknowledged{$one->{body}}++; $moved = time }
            else                { $refused{$code}++ }
            # a tenth of them come again all the same
            next if $code eq '200' && ($one->{again}++ || rand > 0.1);
            push @todo, {%$one, due => time + 0.1 + rand 0.3};
        }
        @pending = @left;
        Mojo::IOLoop->timer(0.005 => sub { });
        Mojo::IOLoop->one_tick;
    }
    $redis->start unless $redis->alive;
    wait_for(sub { $redis->cli('PING') eq 'PONG' }, 'the AOF to be read');

    my %in;
    $in{$_->{body}}++ for entries;
    note(sprintf '%d events, %d kills; acknowledged %d; refusals: %s', $count, $kills, scalar keys %acknowledged,
        join ', ', map { "$_: $refused{$_}" } sort keys %refused);
    is(scalar keys %acknowledged, $count, 'every event is acknowledged in the end');
    cmp_ok($kills, '>=', 5, 'Redis was killed several times');
    is(join(' ', uniq sort keys %refused), '503 store_unavailable', 'meanwhile they were refused with 503');
    is(scalar(grep { !$in{$_} } keys %acknowledged), 0, 'none that was acknowledged is missing');
    is(scalar(grep { $_ > 1 } values %in), 0, 'none is there twice');
    is(scalar keys %in, $count, 'and there is nothing else');
};

is($receiver->count, 0, 'the other handler was never called');
done;
