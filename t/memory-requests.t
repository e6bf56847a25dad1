# What a request may cost a worker, whatever it holds: a webhook and an answer of
# Chatmaid's at most 12 times their size and 64 KiB for their JSON, one who waits
# 16 KiB.  send-hostile-json.t has the same of a send.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;

my $mib      = 1 << 20;
my $receiver = receiver;
my $api      = sandbox;
my $nginx    = nginx(
    api         => $api,
    connections => 8192,
    http        => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; client_max_body_size 2m; client_body_buffer_size 2m;',
    files       => {webhook_secret => webhook_secret . "\n"},
    gateway     => 'chatmaid_sender +15550100001; chatmaid_wait_max 600s;',
    server      => 'location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:' . $receiver->port . '; }');

my ($worker) = $nginx->workers;

# AddressSanitizer keeps freed memory back, up to 256 MiB.
my $kept_back = $ENV{CHATMAID_PATIENCE} ? 512 * $mib : 0;

sub memory ($name) { (slurp("/proc/$worker/status") =~ /^$name:\s+(\d+)/m)[0] * 1024 }
sub from_now () { open my $out, '>', "/proc/$worker/clear_refs" or return; print $out 5; close $out }

# A document of about a mebibyte, the rest of which is many of these.
sub filled ($head, $piece, $tail) { $head . join(',', ($piece) x (($mib - length "$head$tail") / (1 + length $piece))) . $tail }

my %pieces = (
    'empty objects' => '{}',
    'empty arrays'  => '[]',
    'digits'        => '1',
    'exponents'     => '1e18',
    'long numbers'  => '1' x 400,
    'empty strings' => '""',
    'escapes'       => '"\u0001\u0001\u0001\u0001"',
    'pairs'         => '"\ud83d\ude00"',
    'members'       => '{"":1}',
    'nested'        => '[[[[[[[[]]]]]]]]',
);
my $deep = sub ($head, $tail) { $head . '[' x 1000 . ']' x 1000 . $tail };

# First, for what the others leave is used again.
subtest 'one who waits' => sub {
    my $many = volume(2000, 100);
    my $id   = post('/send', message)->{json}{id};
    my $wait = sub { later(GET => "/messages/$id?wait=500&until=read") };
    my @few  = map { $wait->() } 1 .. 20;
    ok(wait_for(sub { $api->count(path => "/v1/messages/$id") }), 'it is asked for');
    my $before = memory('VmRSS');
    my @waits  = map { $wait->() } 1 .. $many;
    get('/account');
    my $each = (memory('VmRSS') - $before) / $many;
    cmp_ok($each, '<=', $kept_back + 16384, sprintf 'each costs %d bytes, its connection included', $each);
    $_->abort for @few, @waits;
};

my $base = memory('VmRSS');

# nginx holds the body too, and buffers for what it passes on.
sub costs ($name, $size, $code) {
    from_now;
    my $said = $code->();
    my $more = memory('VmHWM') - $base;
    cmp_ok($more, '<=', $kept_back + 12 * $size + 65536 + 2 * $mib, sprintf '%s (%s): %.1f times %d bytes', $name, $said, $more / $size, $size);
    return $said;
}

subtest 'a webhook' => sub {
    my ($head, $tail) = ('{"event":"message.sent","data":{"messageId":"m1","x":[', ']}}');
    for my $name (sort keys %pieces) {
        my $body = filled($head, $pieces{$name}, $tail);
        my $said = costs($name, length $body, sub { my $answer = raw(head($body, path => '/webhook') . $body)->{status}; $receiver->reset; $answer });
        like($said, qr/^(?:200|413)$/, "$name: $said");
    }
    my $body = $deep->($head, $tail);
    is(raw(head($body, path => '/webhook') . $body)->{status}, 200, 'a deep one');
};

subtest 'an answer' => sub {
    my ($head, $tail) = ('{"success":true,"data":{"data":[', '],"pagination":{"page":1}}}');
    for my $face ('messages', 'v1/messages') {
        for my $name (sort keys %pieces) {
            my $body = filled($head, $pieces{$name}, $tail);
            my $said = costs("$face: $name", length $body, sub { $api->fault({status => 200, body => $body}); get("/$face")->{status} });
            is($said, 200, "$face: $name");
        }
        $api->fault({status => 200, body => $deep->($head, $tail)});
        is(get("/$face")->{status}, 200, "$face: a deep one");
    }
};

is(($nginx->workers)[0], $worker, 'all by one worker');
done;
