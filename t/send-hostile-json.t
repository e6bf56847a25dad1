# What a hostile document costs: memory for at most 12 times its size and 64 KiB,
# and none of that any more while its send is under way; no more than a hundred
# errors; half a surrogate pair, and where it is.

use Chatmaid::Test;
use Chatmaid::Test::World qw(slurp);

my $api   = sandbox(dedup => 0);
my $nginx = nginx(
    gateway  => 'chatmaid_sender +15550100001; chatmaid_idempotency_window 0; chatmaid_timeout 3m;',
    internal => 'proxy_read_timeout 3m;',
    http     => 'client_max_body_size 2m; client_body_buffer_size 2m;');

my $mib = 1 << 20;

# AddressSanitizer keeps freed memory back, up to 256 MiB.
my $kept_back = $ENV{CHATMAID_PATIENCE} ? 512 * $mib : 0;
my ($worker) = $nginx->workers;

sub kept () { (slurp("/proc/$worker/status") =~ /^VmRSS:\s+(\d+)/m)[0] * 1024 }
sub peak () { (slurp("/proc/$worker/status") =~ /^VmHWM:\s+(\d+)/m)[0] * 1024 }

# From here on, peak() is that of what follows.
sub from_now { open my $out, '>', "/proc/$worker/clear_refs" or return; print $out 5; close $out }

# Of about a mebibyte, in a member that is Chatmaid's to judge.
sub filled ($piece, $face = 'text') {
    my ($head, $tail) = ("{\"to\":\"+15550100099\",\"$face\":\"x\",\"x\":[", ']}');
    return $head . join(',', ($piece) x (($mib - length($head . $tail) + 1) / (length($piece) + 1))) . $tail;
}

sub members ($count) { '{"to":"+15550100099","text":"x",' . join(',', map { "\"m$_\":$_" } 1 .. $count) . '}' }

my %body = (
    'empty objects'   => filled('{}'),
    'empty arrays'    => filled('[]'),
    'numbers'         => filled('1'),
    'decimals'        => filled('0.5'),
    'exponents'       => filled('1e18'),
    'empty strings'   => filled('""'),
    'escapes'         => filled('"\u0001"'),
    'small objects'   => filled('{"":1}'),
    'nested arrays'   => filled('[[[[[[[[]]]]]]]]'),
    'many members'    => members(70_000),
    'one long string' => '{"to":"+15550100099","text":"x","x":"' . '\u00e9' x ($mib / 6 - 20) . '"}',
    'long text'       => '{"to":"+15550100099","text":"' . 'x' x ($mib - 100) . '"}',
    'text in escapes' => '{"to":"+15550100099","text":"' . '\n' x ($mib / 2 - 100) . '"}',
    'many media'      => '{"to":"+15550100099","media":[' . join(',', ('""') x ($mib / 3 - 50)) . ']}',
    'many URLs'       => '{"to":"+15550100099","media":[' . join(',', ('"https:\/\/a"') x ($mib / 15)) . ']}',
    'open arrays'     => '[' x $mib,
    'not JSON at its end' => filled('{}') . 'x',
);

is(post('/send', message)->{status}, 201, 'a small one');
my $base = kept;

# More tokens than a text of that length has when it is whole.
is(post('/send', '[' x $_)->{json}{code}, 'invalid_json', "$_ arrays that are not closed") for 1, 20, 500, 2000;

subtest 'at its peak' => sub {
    for my $name (sort keys %body) {
        my $size = length $body{$name};
        $api->fault({status => 201, json => {success => \1, data => {id => 'msg_1'}}});
        from_now;
        my $answer = post('/send', $body{$name});
        my $more   = peak() - $base;
        $api->clear_faults;
        like($answer->{status}, qr/^(?:201|400|413)$/, "$name: $answer->{status}");
        is($answer->{json}{code}, 'body_too_large', "$name: is said to be too large") if $answer->{status} == 413;

        # nginx holds the body too, and buffers for what it passes on
        cmp_ok($more, '<=', $kept_back + 12 * $size + 65536 + 2 * $mib, sprintf '%s: %.1f times %d bytes', $name, $more / $size, $size);
    }
};

subtest 'what is refused' => sub {
    is(post('/send', $body{exponents})->{json}{code}, 'body_too_large', 'what takes many times its size to compare');
    is(post('/v1/messages/send', filled('1e18', 'content'))->{status}, 413, 'on both faces');
    $api->fault({status => 201, json => {success => \1, data => {id => 'msg_1'}}});
    is(post('/send', '{"to":"+15550100099","text":"x","x":[' . join(',', ('1e18') x 5000) . ']}')->{status}, 201, 'but not a small one');
    is(post('/send', $body{$_})->{status}, 400, $_) for 'long text', 'many media', 'open arrays', 'not JSON at its end';
};

subtest 'while they are under way' => sub {
    my $many = 10;
    $api->fault({hold => 'before', times => $many, status => 201, json => {success => \1, data => {id => 'msg_1'}}});
    my @sends  = map { later(POST => '/send', $body{'empty objects'}) } 1 .. $many;
    $api->wait_held($many);
    my $each = (kept() - $base) / $many;
    cmp_ok($each, '<', $kept_back + 5 * $mib, sprintf 'each keeps %.1f times its size', $each / $mib);
    $api->release;
    is(join(' ', map { $_->result->{status} } @sends), join(' ', (201) x $many), 'all are sent');
};

subtest 'errors' => sub {
    for my $count (99, 100, 101, 300_000) {
        my $json = post('/send', '{"to":"+15550100099","media":[' . join(',', ('1') x $count) . ']}')->{json};
        is(scalar @{$json->{errors}}, $count > 100 ? 100 : $count, "$count wrong media: so many errors");
        is($json->{errors}[-1]{pointer}, '/media/' . ($count > 100 ? 99 : $count - 1), "$count wrong media: the first of them");
        like($json->{detail}, qr/\b$count faults/, "$count wrong media: counted");
        my $native = post('/v1/messages/send', '{"to":"+15550100099","mediaUrls":[' . join(',', ('1') x $count) . ']}')->{json};
        is(scalar @{$native->{message}}, $count > 100 ? 100 : $count, "$count wrong media: on the native face");
    }
};

subtest 'half a surrogate pair' => sub {
    my %where = (
        '{"to":"+15550100099","text":"x \ud83d"}'                    => 'half a surrogate pair (\ud83d) in "/text", at line 1, column 32 of the body',
        "{\"to\":\"+15550100099\",\n \"text\":\"\\uDE00\"}"           => 'half a surrogate pair (\uDE00) in "/text", at line 2, column 10 of the body',
        '{"to":"+15550100099","media":["a","\ud83dx"]}'              => 'half a surrogate pair (\ud83d) in "/media/1", at line 1, column 36 of the body',
        '{"to":"+15550100099","text":"x","y":{"a/b":[{"c":"\ud83d\ud83d"}]}}' => 'half a surrogate pair (\ud83d) in "/y/a~1b/0/c", at line 1, column 51 of the body',
        '{"to":"+15550100099","text":"x","\ud83d":1}'                => 'half a surrogate pair (\ud83d) in a name of the object "", at line 1, column 34 of the body',
    );
    for my $body (sort keys %where) {
        my $before = $api->count;
        my $answer = post('/send', $body);
        is(join(' ', $answer->{status}, @{$answer->{json}}{qw(code outcome)}), '400 invalid_json not_sent', $body);
        is($answer->{json}{detail}, $where{$body}, 'what and where');
        is(post('/v1/messages/send', $body)->{json}{message}[0], $where{$body}, 'on the native face too');
        is($api->count, $before, 'Chatmaid hears nothing');
    }
};

done;
