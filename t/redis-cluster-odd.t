#!/usr/bin/perl

# Nodes of a Redis Cluster that say odd things: scripted servers.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::IOLoop;
use Time::HiRes qw(time);

# RESP of a number, a text, undef or an array.
sub resp ($value) {
    return '*' . @$value . "\r\n" . join '', map { resp($_) } @$value if ref $value;
    return "\$-1\r\n" unless defined $value;
    return $value =~ /\A-?\d+\z/ ? ":$value\r\n" : '$' . length($value) . "\r\n$value\r\n";
}

# A node that tells these slots, as an array or raw, and answers by "answer", else
# with its port.
sub node (%option) {
    return redis_fake(sub ($fake, $stream, @words) {
        my $slots = $option{slots};
        return $stream->write(ref $slots eq 'CODE' ? $slots->($fake) : ref $slots ? resp($slots) : $slots) if "@words" eq 'CLUSTER SLOTS';
        my $answer = $option{answer} && $option{answer}->($fake, $stream, @words);
        $stream->write($answer // "+" . $fake->port . "\r\n") if !defined $answer || length $answer;
    });
}

sub all ($port, $host = '127.0.0.1') { [0, 16383, [$host, $port, 'id']] }
sub asked ($node)         { [map { join ' ', @$_ } grep { $_->[0] ne 'CLUSTER' } @{$node->seen}] }
sub questions ($node)     { scalar grep { $_->[0] eq 'CLUSTER' } @{$node->seen} }
sub cluster (@nodes)      { 'redis+cluster://' . join ',', map { ref $_ ? '127.0.0.1:' . $_->port : $_ } @nodes }
sub answer ($said)        { $said->{error} eq 'ok' ? $said->{reply} : $said->{error} }
sub told_slots ($node, $n = 1) { wait_for(sub { questions($node) >= $n }, 'the slots to be asked for') }

# CRC-16/XMODEM.
sub slot_of ($key) {
    my $crc = 0;
    for my $byte (unpack 'C*', $key =~ /\{(.+?)\}/ ? $1 : $key) {
        $crc ^= $byte << 8;
        $crc = ($crc & 0x8000 ? ($crc << 1) ^ 0x1021 : $crc << 1) & 0xffff for 1 .. 8;
    }
    return $crc % 16384;
}

sub key_in ($first, $last, $name = sub ($key) { $key }) {
    while (1) {
        my $key  = key;
        my $slot = slot_of($name->($key));
        return $key if $slot >= $first && $slot <= $last;
    }
}

subtest 'slots that are none' => sub {
    my $node;
    my $port = sub { $node->port };
    my %odd = (
        'no slots'            => sub { [] },
        'a number'            => sub { 7 },
        'nothing'             => sub { undef },
        'numbers'             => sub { [1, 2, 3] },
        'beyond the last'     => sub { [[0, 16384, ['127.0.0.1', $port->()]]] },
        'far beyond'          => sub { [[0, '9223372036854775807', ['127.0.0.1', $port->()]]] },
        'negative'            => sub { [[-1, 16383, ['127.0.0.1', $port->()]]] },
        'the wrong way round' => sub { [[16383, 0, ['127.0.0.1', $port->()]]] },
        'no master'           => sub { [[0, 16383]] },
        'an empty master'     => sub { [[0, 16383, []]] },
        'a port alone'        => sub { [[0, 16383, [$port->()]]] },
        'port 0'              => sub { [[0, 16383, ['127.0.0.1', 0]]] },
        'port 65536'          => sub { [[0, 16383, ['127.0.0.1', 65536]]] },
        'a port in words'     => sub { [[0, 16383, ['127.0.0.1', 'x']]] },
        'a host with a line'  => sub { [[0, 16383, ["a\nb", 7]]] },
        'a long host'         => sub { [[0, 16383, ['a' x 256, 7]]] },
        'a host that is none' => sub { [[0, 16383, [['x'], 7]]] },
    );
    for my $name (sort keys %odd) {
        $node = node(slots => sub ($fake) { resp(questions($fake) < 3 ? $odd{$name}->() : [all($fake->port)]) });
        my $nginx = probe(cluster($node) . ' timeout=5s');
        told_slots($node);
        is(answer((ask(['GET', 'k']))[0]), $node->port, "$name: commands go to the node of the URL");
        is($nginx->error_log =~ /\[(?:alert|crit|emerg)\].*/ ? $& : '', '', "$name: no alert");
        $nginx->quit;
        $node->stop;
    }
};

subtest 'the node that answers first has no slots' => sub {
    my $first  = node(slots => resp([]));
    my $second = node(slots => sub ($fake) { resp([all($fake->port)]) });
    my $nginx  = probe(cluster($first, $second) . ' timeout=5s');
    told_slots($second);
    is(answer((ask(['GET', 'k']))[0]), $second->port, 'the other one is asked, and known');
    $nginx->quit;
    $_->stop for $first, $second;
};

subtest 'slots told twice, and by halves' => sub {
    my ($first, $second);
    $second = node(slots => '*0' . "\r\n");
    $first  = node(slots => sub ($fake) { resp([[0, 9000, ['127.0.0.1', $fake->port]], [8000, 16383, ['127.0.0.1', $second->port]]]) });
    my $nginx = probe(cluster($first) . ' timeout=5s');
    told_slots($first);
    my %at = map { answer((ask(['GET', "{$_}"]))[0]) => 1 } 0 .. 9;
    is_deeply([sort keys %at], [sort $first->port, $second->port], 'each has its own');
    $nginx->quit;
    $_->stop for $first, $second;
};

subtest 'a node that the URL names twice' => sub {
    my $node  = node(slots => sub ($fake) { resp([all($fake->port)]) });
    my $nginx = probe(cluster($node, $node) . ' timeout=5s');
    told_slots($node);
    is(answer((ask(['GET', 'k']))[0]), $node->port, 'a command');
    is($node->taken, 1, 'on one connection');
    $nginx->quit;
    $node->stop;
};

subtest 'more nodes than there can be' => sub {
    my $node = node(slots => sub ($fake) {
        resp([map({ [$_, $_, ['127.1.' . ($_ >> 8) . '.' . ($_ & 255), 1]] } 0 .. 1999), [2000, 16383, ['127.0.0.1', $fake->port]]]);
    });
    my $nginx = probe(cluster($node) . ' timeout=5s');
    told_slots($node);
    is(answer((ask(['GET', key_in(2000, 16383)]))[0]), $node->port, 'that of the URL');
    is(answer((ask(['GET', key_in(1500, 1999)]))[0]), $node->port, 'which is asked for those of nodes that are too many');
    $nginx->quit;
    $node->stop;
};

subtest 'a circle' => sub {
    my ($first, $second);
    my $moves = sub ($to) { sub ($fake, $stream, @words) { $words[1] eq 'k' ? "-MOVED 7629 127.0.0.1:" . $$to->port . "\r\n" : undef } };
    $second = node(slots => sub { resp([all($first->port)]) }, answer => $moves->(\$first));
    $first  = node(slots => sub { resp([all($first->port)]) }, answer => $moves->(\$second));
    my $nginx = probe(cluster($first) . ' timeout=10s');
    told_slots($first);
    is(answer((ask(['GET', 'k']))[0]), 'refused', 'ends');
    cmp_ok(@{asked($first)} + @{asked($second)}, '<=', 10, 'soon');
    is(answer((ask(['GET', 'x']))[0]), $first->port, 'other commands go on');
    $nginx->quit;
    $_->stop for $first, $second;
};

subtest 'ASK among other commands' => sub {
    my ($first, $second);
    $second = node(slots => sub { resp([all($first->port)]) }, answer => sub ($fake, $stream, @words) { $words[0] eq 'ASKING' ? "+OK\r\n" : undef });
    $first  = node(slots => sub { resp([all($first->port)]) }, answer => sub ($fake, $stream, @words) { $words[1] =~ /a/ ? "-ASK 1 127.0.0.1:" . $second->port . "\r\n" : undef });
    my $nginx = probe(cluster($first) . ' timeout=10s');
    told_slots($first);
    is_deeply([map { answer($_) } ask(map { ['GET', $_] } qw(a1 b a2 b a3))], [map { $_->port } $second, $first, $second, $first, $second], 'each by the right one');
    is_deeply(asked($second), [map { ('ASKING', "GET a$_") } 1 .. 3], 'ASKING goes before each');
    $nginx->quit;
    $_->stop for $first, $second;
};

subtest 'sent on to one that hangs, and to nobody' => sub {
    my ($first, $hangs, $nobody) = (undef, undef, port('nobody'));
    $hangs = redis_fake(sub { }, greeting => sub { 1 });
    $first = node(slots => sub { resp([all($first->port)]) }, answer => sub ($fake, $stream, @words) {
        my $to = {hangs => $hangs->port, nobody => $nobody}->{$words[1]};
        return $to ? "-MOVED 1 127.0.0.1:$to\r\n" : undef;
    });
    my $nginx = probe(cluster($first) . ' timeout=500ms');
    told_slots($first);
    my @said = ask(map { ['GET', $_] } qw(hangs nobody k));
    is_deeply([map { answer($_) } @said], ['unreachable', 'unreachable', $first->port], 'they were sent to nobody');
    told_slots($first, 2);
    wait_for(sub { answer((ask(['GET', 'k']))[0]) eq $first->port }, 'others go on');
    $nginx->quit;
    $_->stop for $first, $hangs;
};

subtest 'hosts of other forms' => sub {
    my ($first, $second);
    my $forms = {empty => ':', name => 'redis.test:', none => 'x', v6 => '::1:'};
    $second = node(slots => sub { resp([all($first->port)]) });
    $first = node(slots => sub { resp([all($first->port, '')]) }, answer => sub ($fake, $stream, @words) {
        my $form = $forms->{$words[1]};
        return defined $form ? "-MOVED 1 $form" . $second->port . "\r\n" : undef;
    });
    my $nginx = probe(cluster('localhost:' . $first->port) . ' timeout=500ms');
    told_slots($first);
    is(answer((ask(['GET', 'k']))[0]), $first->port, 'an empty one in the slots is that of the server');
    is(answer((ask(['GET', 'empty']))[0]), $second->port, 'in MOVED too, though its name can\'t be resolved now');
    is(answer((ask(['GET', 'none']))[0]), 'refused', 'none');
    is(answer((ask(['GET', 'name']))[0]), 'unreachable', 'a name, without a resolver');
    my $at = 'redis.test:' . $second->port;
    wait_for(sub { $nginx->logged(qr/"\Q$at\E" is away: its name can't be resolved: a name that Sentinels or a Cluster tell needs a "resolver"/) }, 'the line');
    $nginx->quit;
    $_->stop for $first, $second;
};

subtest 'a finish that is sent on when nobody waits any more' => sub {
    my ($timeout, $held, $closed) = (1, undef, undef);
    my ($first, $second);
    my $slots = sub { resp([[0, 8191, ['127.0.0.1', $first->port]], [8192, 16383, ['127.0.0.1', $second->port]]]) };
    my $claimed = sub { sprintf "*3\r\n\$7\r\nclaimed\r\n:%d\r\n:0\r\n", 1000 * time };
    my $finish  = sub (@words) { $words[0] eq 'EVALSHA' && @words == 8 };

    $first = node(slots => $slots, answer => sub ($fake, $stream, @words) {
        return $claimed->() unless $finish->(@words);
        $held = $stream;
        return '';
    });
    $second = node(slots => sub { $held ? '' : $slots->() }, answer => sub ($fake, $stream, @words) {
        $stream->on(close => sub { $closed //= time });
        return @{asked($fake)} == 1 ? $claimed->() : $finish->(@words) && !$held ? ":1\r\n" : '';
    });
    my $api   = sandbox;
    my $nginx = nginx(workers => 1, gateway => 'chatmaid_sender +15550100001;', http => 'chatmaid_redis ' . cluster($first, $second) . " timeout=${timeout}s;");
    told_slots($first);
    my @keys = map { key_in(@$_, \&tagged_record_of) } [8192, 16383], [0, 8191], [8192, 16383];
    is($nginx->post('/send', message, 'Idempotency-Key' => $keys[0])->{status}, 201, 'a send, by the second');
    is($nginx->post('/send', message, 'Idempotency-Key' => $keys[1])->{status}, 201, 'one by the first, whose finish is not answered');
    wait_for(sub { $held }, 'that finish');
    wait_for(sub { $nginx->logged(qr/is away: no reply in time/) }, 'its end');

    my $seen = @{asked($second)};
    my $from = time;
    $held->write('-MOVED ' . slot_of(tagged_record_of($keys[1])) . ' 127.0.0.1:' . $second->port . "\r\n");
    wait_for(sub { @{asked($second)} > $seen }, 'it to be sent on');
    is($nginx->post('/send', message, 'Idempotency-Key' => $keys[2])->{status}, 201, 'one that the second does not answer');
    wait_for(sub { $closed }, 'the connection to be given up');
    cmp_ok($closed - $from, '>', 3.9 * $timeout, 'not before the finish has waited for four timeouts there');
    $nginx->quit;
    $_->stop for $first, $second;
};

done;
