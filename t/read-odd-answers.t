# Chatmaid's answers are JSON as JavaScript writes it, and not ours to judge: odd
# values go on as they are, and what is read among them is read leniently.

use Chatmaid::Test;

my $api = sandbox(dedup => 0);
nginx(server => <<'END');
        location ^~ /once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_retries 0; chatmaid_idempotency_window 0; }
        location ^~ /gunzips/ { chatmaid_gateway /.gunzips/; chatmaid_retries 0; }
        location ^~ /.gunzips/ { %PROXY% proxy_pass https://chatmaid_api/; gunzip on; proxy_set_header Accept-Encoding gzip; }
END

my $to = '"to":"+15550100099"';
my $m  = "{\"text\":\"x\",$to}";

# What is odd about a value, and legal all the same.
my %odd = (
    'half a surrogate pair' => '{"id":"msg_1","content":"x \ud83d","status":"sent"}',
    'the other half'        => '{"id":"msg_1","content":"\ude00","status":"sent"}',
    'a large integer'       => '{"id":"msg_1","waId":12345678901234567890123,"status":"sent"}',
    'a large real'          => '{"id":"msg_1","waId":1e400,"n":-1E-400,"status":"sent"}',
    'digits of their own'   => '{"id":"msg_1","a":0.1,"b":1.50,"c":1E3,"d":-0,"status":"sent"}',
    'a member twice'        => '{"id":"msg_1","a":1,"a":2,"status":"sent"}',
    'escapes of their own'  => '{"id":"msg_1","content":"\u0047r\u00fc\/","status":"sent"}',
    'NUL'                   => '{"id":"msg_1","a\u0000":"\u0000","status":"sent"}',
    'white space'           => "{ \"id\" :\"msg_1\" ,\r\n\t\"status\":\"sent\" }",
    'another order'         => '{"z":1,"status":"sent","id":"msg_1","a":[]}',
    'not UTF-8'             => "{\"id\":\"msg_1\",\"content\":\"\xff\",\"status\":\"sent\"}",
);

sub answered ($status, $body) {
    $api->fault({raw => "HTTP/1.1 $status Fine\r\nContent-Type: application/json\r\nContent-Length: ${\length $body}\r\n\r\n$body"});
}

for my $name (sort keys %odd) {
    subtest $name => sub {
        my $data     = $odd{$name};
        my %envelope = (plain => "{\"success\":true,\"data\":$data}", 'with a mark' => "\xef\xbb\xbf {\"data\" : $data ,\"success\":true}\r\n",
            'odd beside it' => "{\"success\":true,\"n\":1e999,\"data\":0,\"x\":\"\\ud83d\",\"data\":$data}");

        for my $kind (sort keys %envelope) {
            my $body = $envelope{$kind};

            answered(200, $body);
            my $answer = get(url '/once/messages/msg_1');
            is($answer->{status}, 200, "$kind: a read");
            ok($answer->{body} eq $data, "$kind: is the data, byte for byte") or diag $answer->{body};

            answered(201, $body);
            $answer = post(url('/once/send'), $m, 'Idempotency-Key' => "$name $kind" =~ tr/ /-/r);
            is($answer->{status}, 201, "$kind: a send");
            ok($answer->{body} eq $data, "$kind: is the data, byte for byte") or diag $answer->{body};

            my $made = $api->sends;
            $answer = post(url('/once/send'), $m, 'Idempotency-Key' => "$name $kind" =~ tr/ /-/r);
            is($answer->{headers}{'idempotent-replayed'}, 'true', "$kind: replayed");
            ok($answer->{body} eq $data, "$kind: the same bytes") or diag $answer->{body};
            is($api->sends, $made, "$kind: not sent again");

            for my $status (200, 201) {
                answered($status, $body);
                $answer = $status == 200 ? get(url '/once/v1/messages/msg_1') : post(url('/once/v1/messages/send'), "{\"content\":\"x\",$to}");
                is($answer->{status}, $status, "$kind: on the native face, $status");
                ok($answer->{body} eq $body, "$kind: byte for byte");
            }
        }

        my $list = "[{\"id\":\"msg_0\"},$data , {\"id\":\"msg_2\"}]";
        answered(200, "{\"success\":true,\"data\":{\"data\":$list,\"pagination\":{\"total\":3.0}}}");
        is(get(url '/once/messages')->{body}, "{\"data\":$list,\"pagination\":{\"total\":3.0}}", 'in a list');
        answered(200, "{\"pagination\": {\"total\":3.0},\"success\":true,\"data\":$list}");
        is(get(url '/once/messages')->{body}, "{\"data\":$list,\"pagination\":{\"total\":3.0}}", 'in a list with its pages beside it');
        answered(200, "{\"success\":true,\"data\":$list}");
        is(get(url '/once/phones')->{body}, $list, 'in an array');

        answered(200, "{\"success\":true,\"data\":$data}");
        my $waited = get(url '/once/messages/msg_1?wait=5&until=sent');
        is($waited->{status}, 200, 'in a wait');
        ok($waited->{body} eq $data, 'byte for byte');
        is($waited->{headers}{'chatmaid-wait'}, undef, 'whose status is read');
    };
}

subtest 'what is read' => sub {
    my $read = sub ($body) {
        answered(201, $body);
        my $answer = post(url('/once/send'), $m);
        return join ' ', $answer->{status}, $answer->{json}{outcome} // ();
    };
    is($read->($_), '201', $_) for '{"data":{"id":"a"}}', '{"success":null,"data":{"id":"a"}}', '{"succe\u0073s":true,"d\u0061ta":{"\u0069d":"\u0061"}}',
        '{"success":false,"success":true,"data":{"id":"a"}}', '{"data":{"id":"\ud83d"}}', '{"data":{"id":1,"id":"a"}}', '{"success":true,"data":{"id":"a"},"x":' . '[' x 1000 . ']' x 1000 . '}';
    is($read->($_), '502 unknown', $_) for '{"success":true,"success":false,"data":{"id":"a"}}', '{"success":true,"data":{"id":"a","id":""}}', '{"success":true,"data":{"ID":"a"}}', '{"data":"id"}',
        "{\"success\":true,\"data\":{\"id\":\"a\nb\"}}", '{"success":true,"data":{"id":"a","b":01}}', '{"success":true,"data":{"id":"a"},}', "\xef\xbb\xbf", '{"success":true,"data":{"id":"\ud8"}}';

    for my $status ('"delivered"', '"d\u0065livered"') {
        answered(200, "{\"success\":true,\"data\":{\"id\":\"a\",\"status\":$status}}");
        is(get(url '/once/messages/msg_2?wait=5')->{headers}{'chatmaid-wait'}, undef, "status $status");
    }
};

subtest 'errors' => sub {
    my %detail = ('["x \ud83d","y"]' => "x \x{fffd}; y", '"x \ud83d"' => "x \x{fffd}", '["a",1e400,{"b":"\ude00"},null,"c"]' => 'a; c', '["\u0047r\u00fc\n"]' => "Gr\x{fc}\n", '[]' => 'Chatmaid refused the request', '[""]' => 'Chatmaid refused the request', '["","x"]' => 'x', '1e400' => 'Chatmaid refused the request',
        "[\"\xff\"]" => '?', '["a"],"message":["b"]' => 'b');

    for my $message (sort keys %detail) {
        my $body = "{\"success\":false,\"error\":\"N \\ud83d\",\"message\":$message,\"statusCode\":404,\"n\":12345678901234567890123}";

        answered(404, $body);
        my $answer = get(url '/once/messages/msg_1');
        is("$answer->{status} $answer->{json}{code}", '404 not_found', "$message: status");
        is($answer->{json}{detail}, $detail{$message}, "$message: detail");

        answered(400, $body);
        $answer = post(url('/once/send'), $m);
        is(join(' ', $answer->{status}, @{$answer->{json}}{qw(code outcome)}), '400 invalid_request not_sent', "$message: a send");
        is($answer->{json}{detail}, $detail{$message}, "$message: its detail");

        answered(404, "\xef\xbb\xbf$body");
        my $native = get(url '/once/v1/messages/msg_1')->{json};
        is($native->{error}, "N \x{fffd}", "$message: name on the native face");
        is(join('; ', @{$native->{message}}), $detail{$message}, "$message: message");
    }

    answered(404, '{"success":false,"message":[' . join(',', map { "\"m$_\"" } 1 .. 50_000) . ']}');
    is(scalar @{get(url '/once/v1/messages/msg_1')->{json}{message}}, 100, 'at most a hundred messages');

    my %after = (1 => 1, '1.2' => 2, '1e1' => 10, '17' => 17, '1e400' => 30 * 24 * 3600, '1e-400' => 1, '0' => 1, '12345678901234567890123' => 30 * 24 * 3600, '"3"' => undef, '-1' => undef, '1,"retryAfter":2' => 2);
    for my $value (sort keys %after) {
        answered(400, "{\"success\":false,\"retryAfter\":$value}");
        my $answer = get(url '/once/account');
        is($answer->{headers}{'retry-after'}, $after{$value}, "retryAfter $value");
    }
};

subtest 'compressed' => sub {
    for my $path (qw(once/account once/v1/account gunzips/account gunzips/v1/account)) {
        $api->fault({status => 200, body => "\x1f\x8b\x08\0", headers => {'Content-Type' => 'application/json', 'Content-Encoding' => 'gzip'}});
        my $answer = get(url "/$path");
        is($answer->{status}, 502, "$path: is refused");
        like($answer->{body}, qr/has a Content-Encoding, which the gateway can't decode/, "$path: with that said");
    }
    $api->fault({status => 200, body => '{"success":true,"data":1}', headers => {'Content-Encoding' => 'Identity'}});
    is(get(url '/once/account')->{body}, '1', 'identity is none');
};

done;
