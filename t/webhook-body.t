# Bodies in every form and size: each is judged by all of its bytes, and handed
# on byte for byte.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Webhook;

my $mib      = 1 << 20;
my $receiver = receiver;
my $edge     = edge(
    http   => 'chatmaid_webhook_dedup 0; client_max_body_size 1100k;',
    server => <<'END_CONF');
        listen 127.0.0.1:%PORT:h2% http2;
        location = /file   { chatmaid_webhook on; client_body_buffer_size 1k; proxy_pass http://127.0.0.1:%API%; }
        location = /brief  { chatmaid_webhook on; chatmaid_webhook_tolerance 5s; proxy_pass http://127.0.0.1:%API%; }
        location = /always { chatmaid_webhook on; client_body_in_file_only clean; proxy_pass http://127.0.0.1:%API%; }
        location = /single { chatmaid_webhook on; client_body_in_single_buffer on; client_body_buffer_size 1100k; proxy_pass http://127.0.0.1:%API%; }
        location = /stream { chatmaid_webhook on; proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://127.0.0.1:%API%; }
END_CONF

# An event of just so many bytes, of every kind: two and four in a character.
sub sized ($size) {
    my $head = '{"event":"message.received","data":{"messageId":"inmsg_1","content":"';
    my $room = $size - length($head) - length('"}}');
    my $text = substr "\xc3\xa9\xf0\x9f\x98\x80 a\\n" x (1 + $room / 10), 0, $room - $room % 10;
    return $head . $text . 'x' x ($room % 10) . '"}}';
}

my %body = (0 => '', 1 => '7', 600 => sized(600), 65536 => sized(65536), $mib => sized($mib), 1126401 => sized(1126401));
my %code = (0 => '400 invalid_json', 1 => '400 invalid_event', 1126401 => '413 body_too_large');

# One byte at a time, or what of that a test can afford: both ends, and the rest
# in pieces.
sub bytewise ($bytes) {
    return split //, $bytes if length $bytes <= 600;
    return split(//, substr $bytes, 0, 100), unpack('(a20000)*', substr $bytes, 100, -100), split //, substr $bytes, -100;
}

sub chunks (@pieces) { (map { sprintf "%x\r\n%s\r\n", length, $_ } grep { length } @pieces), "0\r\n\r\n" }

my @chunked = (length => undef, lines => ['Transfer-Encoding: chunked']);

# One connection for a form's bodies: nginx closes those that are idle for long.
my $h2;

sub over_h2 ($body, $signature, $size, @length) {
    my ($id, $head) = opened($h2, POST => '/webhooks/chatmaid', 0, ['x-chatmaid-signature', $signature], @length);
    put($h2, $head);
    body($h2, $id, $body, $size);
    return answer($h2, $id);
}

# How a body may come: form => the answer to it.
my %form = (
    'in one piece' => sub ($body, $signature) { raw(head($body, signature => $signature) . $body) },
    'head and body apart' => sub ($body, $signature) { raw([head($body, signature => $signature), $body]) },
    'in single bytes' => sub ($body, $signature) { raw([head($body, signature => $signature), bytewise($body)], gap => 0) },
    'chunked' => sub ($body, $signature) {
        raw(join('', head($body, signature => $signature, @chunked), chunks(unpack '(a5000)*', $body)));
    },
    'chunked, in single bytes' => sub ($body, $signature) {
        raw([head($body, signature => $signature, @chunked), bytewise(join '', chunks(bytewise($body)))], gap => 0);
    },
    'over HTTP/2' => sub ($body, $signature) { over_h2($body, $signature, 16384, ['content-length', length $body]) },
    'over HTTP/2, without a length' => sub ($body, $signature) { over_h2($body, $signature, 16384) },
    'over HTTP/2, in small frames' => sub ($body, $signature) { over_h2($body, $signature, length $body > 600 ? 1000 : 1) },
);
for my $location (qw(file always single stream)) {
    $form{"in /$location"} = sub ($body, $signature) { raw(head($body, signature => $signature, path => "/$location") . $body) };
    $form{"chunked in /$location"} = sub ($body, $signature) {
        raw(join('', head($body, signature => $signature, path => "/$location", @chunked), chunks(unpack '(a999)*', $body)));
    };
}

for my $form (sort keys %form) {
    subtest $form => sub {
        $h2 = connect_h2($edge->port('h2'));
        for my $size (sort { $a <=> $b } keys %body) {
            my $body   = $body{$size};
            my $before = $receiver->count;
            my $answer = $form{$form}->($body, sign($body));
            my @passed = $receiver->requests(from => $before + 1);
            is(code($answer), $code{$size} // 200, "$size bytes");
            is(scalar @passed, $code{$size} ? 0 : 1, "$size bytes: handed on, or not");
            ok($passed[0]{body} eq $body, "$size bytes: byte for byte") if @passed;

            next if $size == 1126401 || !$size;
            for my $at ($size == 1 ? 0 : (0, int $size / 2, $size - 1)) {
                my $forged = $body;
                substr($forged, $at, 1) ^= "\x01";
                is(code($form{$form}->($forged, sign($body))), '401 signature_mismatch', "$size bytes: another byte at $at");
            }
            is($receiver->count, $before + @passed, "$size bytes: forged ones are not handed on");
        }
        drop($h2, 'close');
    };
}

subtest 'a body that ends too early' => sub {
    my $body = sized(600);
    for my $case ([cut => head($body), substr $body, 0, 599], [chunked => head($body, @chunked), "258\r\n$body\r\n"]) {
        my ($name, @pieces) = @$case;
        my $before = $receiver->count;
        raw(\@pieces, abort => $_) for qw(close reset half);
        is(code(hook(event('message.sent'))), 200, "$name: the next event");
        is($receiver->count, $before + 1, "$name: nothing else is handed on");
    }
};

# Else an old event, or one that has been seen, comes through by its last byte.
subtest 'a body that comes too late' => sub {
    my $body   = sized(600);
    my $before = $receiver->count;
    my $t      = time - 4;
    my $answer = raw([head($body, path => '/brief', signature => sign($body, t => $t)),
        sub { wait_for(sub { time > $t + 6 }, 'the event to grow old') }, $body]);
    is(code($answer), '400 timestamp_out_of_tolerance', 'refused');
    is($receiver->count, $before, 'not handed on');
};

subtest 'broken chunks' => sub {
    my $body   = sized(600);
    my $before = $receiver->count;
    my $answer = raw(head($body, @chunked) . "258\r\n$body\r\nzz\r\n");
    is(code($answer), '400 invalid_request', 'refused') or note $answer->{raw};
    is($receiver->count, $before, 'not handed on');
};

subtest 'a hundred at once' => sub {
    my %bodies = map { (event('message.sent', {content => "\xe2\x82\xac" x 1000 . $_}) => 1) } 1 .. 100;
    my @all    = map { hook_later($_) } keys %bodies;
    is(scalar(grep { $_->result->{status} == 200 } @all), 100, 'all are verified');
    is(scalar(grep { delete $bodies{$_} } bodies($receiver)), 100, 'each is handed on as it was');
};

my ($worker) = $edge->workers;
is(scalar(() = glob $edge->dir . '/body/*'), 0, 'no temporary file is left');
is(scalar(grep { readlink($_) =~ m{/body/} } grep { defined readlink } glob "/proc/$worker/fd/*"), 0, 'nor open');
done;
