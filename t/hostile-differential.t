# Raw requests as no honest client writes them, to both faces and to a webhook
# location, and the same bytes to an nginx server with nothing but proxy_pass:
# what that refuses is refused here too, with the same status.  No request makes
# more than one call, and none of the refused makes any.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(encode_json);

my $receiver = receiver;
my $api      = sandbox;
my $nginx    = nginx(
    api     => $api,
    http    => 'chatmaid_webhook_secret_file %DIR%/webhook_secret;',
    files   => {webhook_secret => webhook_secret . "\n"},
    gateway => 'chatmaid_sender +15550100001; chatmaid_retries 0; client_body_timeout 1s;',
    server  => 'client_header_timeout 1s; location = /webhook { chatmaid_webhook on; client_body_timeout 1s; proxy_pass http://127.0.0.1:' . $receiver->port . '; }',
    servers => <<'END');
    server {
        listen 127.0.0.1:%PORT:stock%;
        client_header_timeout 1s;
        client_body_timeout   1s;
        location / { proxy_pass http://127.0.0.1:%PORT:behind%; }
    }
    server {
        listen 127.0.0.1:%PORT:behind%;
        client_max_body_size 8m;
        location / { return 200 "taken"; }
    }
END

my $worker = ($nginx->workers)[0];

# What is sent, and each time anew: [method, path, headers, body].
my %kinds = (
    send => sub { my $body = encode_json(message); ['POST', '/chatmaid/send', ['Content-Type: application/json'], $body] },
    v1   => sub { my $body = encode_json(native_message); ['POST', '/chatmaid/v1/messages/send', ['Content-Type: application/json'], $body] },
    read => sub { ['GET', '/chatmaid/account', [], ''] },
    hook => sub { my $body = event('message.sent'); ['POST', '/webhook', ['Content-Type: application/json', 'X-Chatmaid-Signature: ' . sign($body)], $body] },
);

sub request_of ($method, $path, $headers, $body, %more) {
    my @head = ("$method $path " . ($more{version} // 'HTTP/1.1'), $more{host} // 'Host: localhost', 'Connection: close', @$headers);
    push @head, @{$more{lines} // []};
    push @head, 'Content-Length: ' . length $body if length $body && !$more{length};
    return join($more{end} // "\r\n", grep({ length } @head), '', '') . ($more{body} // $body);
}

sub chunked ($body, $size = sprintf '%x', length $body) { "$size\r\n$body\r\n0\r\n\r\n" }

# [name, what is changed, in a request of this kind => the bytes]
my $te = 'Transfer-Encoding: chunked';
my @changes = (
    ['as it should be',           sub (@r) { request_of(@r) }],
    ['chunked',                   sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3])) }],
    ['a length and chunks',       sub (@r) { request_of(@r, lines => [$te, 'Content-Length: 5'], length => 1, body => chunked($r[3])) }],
    ['chunks and a length',       sub (@r) { request_of(@r, lines => ['Content-Length: 5', $te], length => 1, body => chunked($r[3])) }],
    ['two equal lengths',         sub (@r) { request_of(@r, lines => ['Content-Length: ' . length $r[3]]) . '' }],
    ['two lengths',               sub (@r) { request_of(@r, lines => ['Content-Length: 3']) }],
    ['a list of lengths',         sub (@r) { my $n = length $r[3]; request_of(@r, lines => ["Content-Length: $n, $n"], length => 1) }],
    ['a length with a sign',      sub (@r) { request_of(@r, lines => ['Content-Length: +' . length $r[3]], length => 1) }],
    ['a negative length',         sub (@r) { request_of(@r, lines => ['Content-Length: -1'], length => 1) }],
    ['a hexadecimal length',      sub (@r) { request_of(@r, lines => ['Content-Length: 0x10'], length => 1) }],
    ['a length beyond 64 bits',   sub (@r) { request_of(@r, lines => ['Content-Length: 99999999999999999999'], length => 1) }],
    ['a length of 1 TB',          sub (@r) { request_of(@r, lines => ['Content-Length: 1099511627776'], length => 1) }],
    ['an empty length',           sub (@r) { request_of(@r, lines => ['Content-Length:'], length => 1) }],
    ['gzip, chunked',             sub (@r) { request_of(@r, lines => ['Transfer-Encoding: gzip, chunked'], length => 1, body => chunked($r[3])) }],
    ['chunked twice',             sub (@r) { request_of(@r, lines => [$te, $te], length => 1, body => chunked($r[3])) }],
    ['chunked, chunked',          sub (@r) { request_of(@r, lines => ["$te, chunked"], length => 1, body => chunked($r[3])) }],
    ['another coding',            sub (@r) { request_of(@r, lines => ['Transfer-Encoding: identity'], length => 1, body => chunked($r[3])) }],
    ['a blank before the colon',  sub (@r) { request_of(@r, lines => ['Transfer-Encoding : chunked'], length => 1, body => chunked($r[3])) }],
    ['chunks in HTTP/1.0',        sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3]), version => 'HTTP/1.0') }],
    ['a chunk without a size',    sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3], '')) }],
    ['a chunk of size x',         sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3], 'xyz')) }],
    ['a chunk of 2^64',           sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3], '1' . '0' x 16)) }],
    ['a chunk of a negative size', sub (@r) { request_of(@r, lines => [$te], length => 1, body => chunked($r[3], '-5')) }],
    ['chunks that do not end',    sub (@r) { request_of(@r, lines => [$te], length => 1, body => "5\r\nabcde\r\n") }],
    ['a second request in the body', sub (@r) { request_of(@r) . request_of(@{$kinds{send}->()}) }],
    ['a folded header',           sub (@r) { request_of(@r, lines => ["X-Folded: a\r\n  b"]) }],
    ['a folded length',           sub (@r) { request_of(@r, lines => ["Content-Length:\r\n " . length $r[3]], length => 1) }],
    ['NUL in a value',            sub (@r) { request_of(@r, lines => ["X-Nul: a\0b"]) }],
    ['NUL in a name',             sub (@r) { request_of(@r, lines => ["X-N\0l: a"]) }],
    ['CR in a value',             sub (@r) { request_of(@r, lines => ["X-Cr: a\rb"]) }],
    ['LF alone at the ends',      sub (@r) { request_of(@r, end => "\n") }],
    ['a header without a colon',  sub (@r) { request_of(@r, lines => ['X-None']) }],
    ['a header without a name',   sub (@r) { request_of(@r, lines => [': a']) }],
    ['a blank in a name',         sub (@r) { request_of(@r, lines => ['X Name: a']) }],
    ['bytes above 127',           sub (@r) { request_of(@r, lines => ["X-High: \xff\xfe"]) }],
    ['an underscore',             sub (@r) { request_of(@r, lines => ['Content_Length: 5']) }],
    ['a header of 9000 bytes',    sub (@r) { request_of(@r, lines => ['X-Long: ' . 'x' x 9000]) }],
    ['headers of 60000 bytes',    sub (@r) { request_of(@r, lines => [map { "X-$_: " . 'x' x 6000 } 1 .. 10]) }],
    ['a name of 9000 bytes',      sub (@r) { request_of(@r, lines => ['X' x 9000 . ': a']) }],
    ['1000 headers',              sub (@r) { request_of(@r, lines => [map { "X-$_: a" } 1 .. 1000]) }],
    ['no Host',                   sub (@r) { request_of(@r, host => '') }],
    ['two Hosts',                 sub (@r) { request_of(@r, lines => ['Host: other']) }],
    ['a Host with a slash',       sub (@r) { request_of(@r, host => 'Host: a/b') }],
    ['a Host of dots',            sub (@r) { request_of(@r, host => 'Host: ..') }],
    ['absolute form',             sub (@r) { $r[1] = "http://localhost$r[1]"; request_of(@r) }],
    ['another scheme',            sub (@r) { $r[1] = "gopher://localhost$r[1]"; request_of(@r) }],
    ['absolute form, bad host',   sub (@r) { $r[1] = "http://lo cal$r[1]"; request_of(@r) }],
    ['authority form',            sub (@r) { $r[1] = 'localhost:80'; request_of(@r) }],
    ['asterisk form',             sub (@r) { $r[1] = '*'; request_of(@r) }],
    ['a method in lower case',    sub (@r) { $r[0] = lc $r[0]; request_of(@r) }],
    ['a method of 5000 bytes',    sub (@r) { $r[0] = 'A' x 5000; request_of(@r) }],
    ['TRACE',                     sub (@r) { $r[0] = 'TRACE'; request_of(@r) }],
    ['CONNECT',                   sub (@r) { $r[0] = 'CONNECT'; request_of(@r) }],
    ['HTTP/2.0',                  sub (@r) { request_of(@r, version => 'HTTP/2.0') }],
    ['HTTP/1.2',                  sub (@r) { request_of(@r, version => 'HTTP/1.2') }],
    ['HTTP/9999.9',               sub (@r) { request_of(@r, version => 'HTTP/9999.9') }],
    ['no version',                sub (@r) { request_of(@r, version => '') }],
    ['ICAP',                      sub (@r) { request_of(@r, version => 'ICAP/1.0') }],
    ['an encoded NUL',            sub (@r) { $r[1] .= '%00'; request_of(@r) }],
    ['half an escape',            sub (@r) { $r[1] .= '%z'; request_of(@r) }],
    ['dots out of the root',      sub (@r) { $r[1] = "/../..$r[1]"; request_of(@r) }],
    ['encoded dots out of it',    sub (@r) { $r[1] = "/%2e%2e/%2E%2E$r[1]"; request_of(@r) }],
    ['a control byte in the path', sub (@r) { $r[1] .= "\x01"; request_of(@r) }],
    ['DEL in the path',           sub (@r) { $r[1] .= "\x7f"; request_of(@r) }],
    ['a target of 9000 bytes',    sub (@r) { $r[1] .= '?' . 'x' x 9000; request_of(@r) }],
    ['an injected header',        sub (@r) { $r[1] .= '?a=%0d%0aX-Injected:%201'; request_of(@r) }],
    ['CR in the path',            sub (@r) { $r[1] .= "\rX: y"; request_of(@r) }],
    ['another expectation',       sub (@r) { request_of(@r, lines => ['Expect: 200-maybe']) }],
    ['an upgrade',                sub (@r) { request_of(@r, lines => ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA']) }],
    ['TLS',                       sub (@r) { "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" . 'x' x 200 . "\r\n\r\n" }],
    ['zeros',                     sub (@r) { "\0" x 500 . "\r\n\r\n" }],
);

# An answer to HTTP/0.9 has no status.
sub is_refusal ($answer) { $answer->{status} ? $answer->{status} >= 400 : !length $answer->{raw} }

my ($asked, $refused) = (0, 0);

for my $kind (sort keys %kinds) {
    subtest $kind => sub {
        for my $change (@changes) {
            my ($name, $make) = @$change;
            my $bytes  = $make->(@{$kinds{$kind}->()});
            my $stock  = raw($nginx->port('stock'), $bytes, all => 1);
            my $before = $api->count + $receiver->count;
            my $ours   = raw($bytes, all => 1);
            my $calls  = $api->count + $receiver->count - $before;
            my $what   = "$kind, $name: $stock->{status}, $ours->{status}";
            $asked++;

            cmp_ok($calls, '<=', 1, "$what: at most one call");
            unlike($ours->{raw}, qr/^X-Injected/mi, "$what: nothing injected");
            if (is_refusal($stock)) {
                $refused++;
                is($ours->{status}, $stock->{status}, "$what: refused alike");
                is($calls, 0, "$what: no call");
            }
        }
    };
}

cmp_ok($asked, '>=', 150, "$asked requests");
cmp_ok($refused, '>=', 100, "$refused of them are refused by any nginx");
is(($nginx->workers)[0], $worker, 'the worker is the same');
is(post('/send', message)->{status}, 201, 'and sends');
done;
