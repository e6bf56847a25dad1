# Webhooks at the edge: what is verified and handed on, what is refused, in which
# words, and in which order it is judged.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;

debug_logs;

my $receiver = receiver;
my $edge     = edge(http => 'client_max_body_size 100k; large_client_header_buffers 4 32k;');
my $other    = secret('whsec_another-secret-0123');

my $case     = 0;                # by which the access log's line is known

sub asked ($body, @headers) { hook($body, 'X-Case' => ++$case, @headers) }
sub warned ($from)   { grep { /\[warn\]/ && /chatmaid/ } $edge->log_lines($from) }
sub said ($code)     { my $words = $code =~ s/_/[_ ]/gr; qr/$words/i }

# The four variables of the latest event.
sub logged () {
    return @{wait_for(sub { $edge->access_log =~ /"([^"|]*)\|([^"|]*)\|([^"|]*)\|([^"|]*)" $case$/m && [$1, $2, $3, $4] })};
}

# A signature that no log may show.
sub never ($body, %option) { secret((split /v1=/, sign($body, %option))[1]); $body }

# A signature header for a forged event, whose right one is never to be seen.
sub forged ($body = event('message.sent')) { ($body, signed(never($body), secret => $other)) }

# Refused: the answer, the log, and that nothing was handed on.

sub refused ($name, $status, $code, @request) {
    my $before = $receiver->count;
    my $errors = length $edge->error_log;
    my $answer = asked(@request);
    my @lines  = warned($errors);

    is(code($answer), "$status $code", "$name: refused");
    is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: as a problem");
    is($answer->{json}{status}, $status, "$name: with its status");
    ok(length($answer->{json}{$_} // ''), "$name: $_") for qw(type title detail requestId);
    is(scalar @lines, 1, "$name: one line in the log");
    like($lines[0], said($code), "$name: says which");
    unlike($lines[0], qr/[^\x20-\x7e\n]/, "$name: escaped");
    is((logged)[0], $code, "$name: \$chatmaid_webhook");
    is($receiver->count, $before, "$name: not handed on");
    return $answer;
}


subtest 'verified' => sub {
    my $body   = event('message.delivered', {messageId => 'msg_first'}, '2026-07-25T17:19:58.000Z');
    my $answer = asked($body, 'X-More' => 'and more');
    is($answer->{status}, 200, 'answered');
    is($answer->{json}{received}, 1, "with the receiver's words");
    my $request = $receiver->last;
    is("$request->{method} $request->{target}", 'POST /webhooks/chatmaid', 'handed on');
    is($request->{body}, $body, 'byte for byte');
    is_deeply([$receiver->header($request, 'Content-Type')], ['application/json'], 'with its type');
    is_deeply([$receiver->header($request, 'X-More')], ['and more'], 'and other headers');
    is_deeply([logged], ['verified', 'message.delivered', 'msg_first', '2026-07-25T17:19:58.000Z'], 'variables');
    is(scalar warned(0), 0, 'no warning');

    is(code(asked(event('message.reaction'))), 200, 'an event of an unknown name');
    is(code(asked('{"event":"x"}')), 200, 'nothing but a name');
    is_deeply([logged], ['verified', 'x', '-', '-'], 'its variables');
    is(code(asked('{"event":"y","timestamp":7,"data":{"messageId":["no"]}}')), 200, 'members of other types');
    is_deeply([logged], ['verified', 'y', '-', '-'], 'their variables');
    is(code(asked($_)), 200, "what JSON allows: $_") for '{"event":"z","a\u0000b":1}', '{"\u0000":0,"event":"z2"}', '{"event":"z3","":{"":[]}}',
        '{"event":"z4","n":[1e999,-0,123456789012345678901234567890,0.1e-400]}', '{"event":"z5","s":"\udfff"}', " \n{\"event\"\t:\r\"z6\"} \n";
    is(code(asked(event('phone.connected'), 'Content-Type' => 'text/plain')), 200, 'whatever its Content-Type');
    is(code(asked(event('message.sent'), 'X-Chatmaid-Event' => 'phone.connected')), 200, 'whatever X-Chatmaid-Event');
    is((logged)[1], 'message.sent', 'which is not looked at');
    is(code(asked(event('message.sent'), 'Expect' => '100-continue')), 200, 'Expect');
};

subtest 'the receiver has the last word' => sub {
    for my $status (204, 302, 404, 500) {
        $receiver->fault({status => $status, body => $status == 204 ? '' : "its own $status", type => 'text/x-own', headers => {'X-Own' => 1}});
        my $answer = asked(event('message.sent'));
        is($answer->{status}, $status, "$status: its status");
        is($answer->{body}, $status == 204 ? '' : "its own $status", "$status: its body");
        is($answer->{headers}{'x-own'}, 1, "$status: its headers");
        is((logged)[0], 'verified', "$status: verified");
    }
};

subtest 'method' => sub {
    for my $method (qw(GET PUT DELETE PATCH OPTIONS)) {
        my $before = $receiver->count;
        my $from   = length $edge->error_log;
        my $body   = event('message.sent');
        my $answer = request($method, url('/webhooks/chatmaid'), $body, signed($body));
        is(code($answer), '405 method_not_allowed', "$method: refused");
        is($answer->{headers}{allow}, 'POST', "$method: Allow");
        is(scalar warned($from), 1, "$method: one line");
        is($receiver->count, $before, "$method: not handed on");
    }
    my $head = request(HEAD => url('/webhooks/chatmaid'));
    is("$head->{status} $head->{body}", '405 ', 'HEAD');
};

subtest 'signature' => sub {
    my $body = event('message.sent');
    my ($t, $v1) = sign($body) =~ /t=(\d+),v1=(\w+)/;
    secret($v1);

    refused('none', 400, 'missing_signature', $body, 'X-Chatmaid-Signature' => undef);
    refused('empty', 400, 'missing_signature', $body, 'X-Chatmaid-Signature' => '');
    refused('in another header', 400, 'missing_signature', $body, 'X-Chatmaid-Signature' => undef, 'X-Signature' => "t=$t,v1=" . 0 x 64);
    refused('nonsense', 400, 'malformed_signature', $body, 'X-Chatmaid-Signature' => 'nonsense');
    refused('twice', 400, 'malformed_signature', $body, 'X-Chatmaid-Signature' => ["t=$t,v1=" . 0 x 64, "t=$t,v1=" . 0 x 64]);
    refused('no t', 400, 'malformed_signature', $body, 'X-Chatmaid-Signature' => 'v1=' . 0 x 64);
    refused('control characters', 400, 'malformed_signature', $body, 'X-Chatmaid-Signature' => "t=1\x01\x1b[31m\x7f\xff\"',v1=x");
    my $long = refused('20,000 bytes', 400, 'malformed_signature', $body, 'X-Chatmaid-Signature' => 'x' x 20_000);
    cmp_ok(length((warned(0))[-1]), '<', 2000, '20,000 bytes: not all in the log');
    unlike($long->{body}, qr/x{100}/, '20,000 bytes: nor in the answer');
    refused('old', 400, 'timestamp_out_of_tolerance', $body, signed($body, t => time - 1600));
    my $early = refused('of the future', 400, 'timestamp_out_of_tolerance', $body, signed($body, t => time + 400));
    like($early->{json}{detail}, qr/\Athe signature is dated [34]\d\d s in the future: check this clock\z/, 'says what to do');
    refused('forged', 401, 'signature_mismatch', forged);
    refused('of another body', 401, 'signature_mismatch', "$body ", 'X-Chatmaid-Signature' => "t=$t,v1=" . 'a' x 64);
};

subtest 'each byte of a signature counts' => sub {
    my $body = event('message.sent');
    my ($t, $hex) = sign($body) =~ /(.*v1=)(.*)/;
    my $right = pack 'H*', $hex;
    for my $n (0 .. 31) {
        my ($one_right, $one_wrong) = (~$right, $right);
        substr($one_right, $n, 1) = substr $right, $n, 1;
        substr($one_wrong, $n, 1) = ~substr $right, $n, 1;
        is(code(hook($body, 'X-Chatmaid-Signature' => $t . unpack 'H*', $_)), '401 signature_mismatch', "byte $n") for $one_right, $one_wrong;
    }
    is(passed($receiver, $body), 0, 'none is handed on');
    is(code(hook($body, 'X-Chatmaid-Signature' => $t . $hex)), 200, 'the right one');
};

subtest 'body' => sub {
    refused('empty', 400, 'invalid_json', '');
    refused('not JSON', 400, 'invalid_json', "\x1b[31m\"event\"\r\n[emerg]");
    refused('a NUL after a word', 400, 'invalid_json', "{\"event\":\"a\",\"data\":true\0}");
    refused('a number for a name', 400, 'invalid_json', '{"event":"a","data":{1:2}}');
    refused('a member twice', 400, 'invalid_json', '{"event":"a","event":"b"}');
    refused('numbers that take many times their text', 413, 'body_too_large', '{"event":"a","data":[' . join(',', ('1e18') x 30_000) . ']}');
    refused('a number', 400, 'invalid_event', '7');
    refused('an array', 400, 'invalid_event', '[' . event('message.sent') . ']');
    refused('no event', 400, 'invalid_event', '{"data":{}}');
    refused('an empty event', 400, 'invalid_event', '{"event":""}');
    refused('an event that is no string', 400, 'invalid_event', '{"event":null}');

    my $large = raw(head('x' x 102401) . 'x' x 102401);
    is(code($large), '413 body_too_large', 'too large');
    is($large->{headers}{'content-type'}, 'application/problem+json', 'too large: as a problem');
    my $chunked = raw(head('x' x 102401, length => undef, lines => ['Transfer-Encoding: chunked']) . "19001\r\n" . 'x' x 102401 . "\r\n0\r\n\r\n");
    is(code($chunked), '413 body_too_large', 'too large, without a length');
};

# What is found first is what is said.
subtest 'order' => sub {
    my $event   = event('message.sent');
    my $old     = sub ($body) { signed($body, secret => $other, t => time - 10_000) };
    my $garbage = 'not JSON';
    is(code(request(GET => url('/webhooks/chatmaid'))), '405 method_not_allowed', 'method before signature');
    refused('signature before all else', 400, 'missing_signature', $garbage, 'X-Chatmaid-Signature' => undef);
    refused('form before time', 400, 'malformed_signature', $garbage, 'X-Chatmaid-Signature' => 't=1,v1=');
    refused('time before signature', 400, 'timestamp_out_of_tolerance', $event, $old->($event));
    refused('signature before JSON', 401, 'signature_mismatch', forged($garbage));
    refused('JSON before event', 400, 'invalid_json', '{"event":7');

    is(code(hook($event)), 200, 'an event');
    refused('signature before duplicate', 401, 'signature_mismatch', $event, signed($event, secret => $other));
    is(code(hook($event)), 200, 'a duplicate');
    is(passed($receiver, $event), 1, 'is not handed on');
};

# Many of these at once are what a broken sender does.
subtest 'the connection after it' => sub {
    my $body = event('message.sent');
    my %case = (
        'verified' => [head($body), 200],
        'no signature' => [head($body, signature => ''), 400],
        'malformed' => [head($body, signature => 'x'), 400],
        'old' => [head($body, signature => sign($body, t => 1)), 400],
        'forged' => [head($body, signature => sign($body, secret => $other)), 401],
        'wrong method' => [head($body, method => 'PUT'), 405],
    );
    my $next = "GET /plain HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";
    for my $name (sort keys %case) {
        my ($head, $status) = @{$case{$name}};
        for my $pieces ([$head . $body . $next], [$head, $body, $next], [$head, (split /(?<=,)/, $body), $next]) {
            my $raw = raw($pieces, all => 1)->{raw};
            my $how = @$pieces . ' pieces';
            is(join(' ', $raw =~ /HTTP\/1\.1 (?!100)(\d+)/g), "$status 204", "$name: the next request, in $how");
        }
    }
};

subtest 'several secrets' => sub {
    my @secrets = map { secret("whsec_rotation-$_-0123456789") } 1 .. 4;
    my $edge = edge(http => 'chatmaid_webhook_dedup 0;', files => {map { ("s$_" => $secrets[$_ - 1] . " \r\n") } 1 .. 4},
        webhook => join ' ', map { "chatmaid_webhook_secret_file %DIR%/s$_;" } 1 .. 4);
    my $body = event('message.sent');
    for my $n (0 .. 3) {
        is(code(hook($body, signed($body, secret => $secrets[$n]))), 200, "secret $n, without the white space at its end");
    }
    is(code(hook($body)), '401 signature_mismatch', "the server's, which it replaces");
    my ($right) = sign($body, secret => $secrets[3]) =~ /v1=(\w+)/;
    is(code(hook($body, 'X-Chatmaid-Signature' => sign($body) . ",v1=$right")), 200, 'one of several signatures');

    $edge->configure(files => {s1 => $other})->reload;
    is(code(hook($body, signed($body, secret => $other))), 200, 'rotated by a reload');
    is(code(hook($body, signed($body, secret => $secrets[0]))), '401 signature_mismatch', 'the one before is gone');
};

done;
