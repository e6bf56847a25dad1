# What is refused before Chatmaid hears of it: all that is wrong at once, each
# with its JSON pointer.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);

my $api   = sandbox;
my $nginx = nginx(gateway => 'chatmaid_sender +15550100001; client_body_buffer_size 1k;', server => <<'END');
        location ^~ /none/ { chatmaid_gateway /.chatmaid/; }
END

my $m = {to => '+15550100099', text => 'Your table is ready'};

sub refused ($answer) { join ' ', $answer->{status}, $answer->{json}{code},
    sort map { $_->{pointer} } @{$answer->{json}{errors} // []} }


subtest 'not JSON' => sub {
    my $good  = encode_json($m);
    my $inner = '"to":"+15550100099","text":"a"';
    my %body  = (
        'empty body'              => '',
        'white space'             => " \r\n\t ",
        'truncated'               => substr($good, 0, -1),
        'truncated in a string'   => substr($good, 0, -5),
        'truncated in a literal'  => "{$inner,\"x\":tru",
        'trailing garbage'        => "${good}x",
        'a second object'         => "$good$good",
        'a trailing comma'        => "{$inner,}",
        'a trailing NUL'          => "$good\0",
        'a NUL after a literal'   => "{$inner,\"x\":true\0}",
        'member twice'            => "{$inner,\"to\":\"+15550100098\"}",
        'member twice, escaped'   => "{$inner,\"t\\u006f\":\"+15550100098\"}",
        'member twice, deep down' => "{$inner,\"x\":[{\"a\":1,\"a\":1}]}",
        'single quotes'           => "{'to':'+15550100099','text':'a'}",
        'a comment'               => "{$inner} // really",
        'NaN'                     => "{$inner,\"x\":NaN}",
        'number with a zero'      => "{$inner,\"x\":01}",
        'raw line feed in a string' => "{\"to\":\"+15550100099\",\"text\":\"a\nb\"}",
        'byte order mark'         => "\xef\xbb\xbf$good",
        'a form'                  => 'to=%2B15550100099&text=a',
        'invalid UTF-8'           => "{\"to\":\"+15550100099\",\"text\":\"a\xff\"}",
        'truncated UTF-8'         => "{\"to\":\"+15550100099\",\"text\":\"\xe2\x82\"}",
        'overlong UTF-8'          => "{\"to\":\"+15550100099\",\"text\":\"\xc0\xaf\"}",
        'a surrogate in UTF-8'    => "{\"to\":\"+15550100099\",\"text\":\"\xed\xa0\x80\"}",
        'UTF-16'                  => join('', map { "$_\0" } split //, $good),
        'half a surrogate pair'   => '{"to":"+15550100099","text":"\ud83d"}',
        '\u0000 in a text'        => '{"to":"+15550100099","text":"a\u0000b"}',
        '\u0000 in a name'        => "{$inner,\"x\\u0000\":1}",
        'nested deeply'           => "{$inner,\"x\":" . '[' x 100_000 . ']' x 100_000 . '}',
        'nested deeply, open'     => '[' x 900_000,
    );
    for my $name (sort keys %body) {
        my $answer = post('/send', $body{$name});
        is(refused($answer), '400 invalid_json', $name);
        is($answer->{json}{outcome}, 'not_sent', "$name: outcome");
    }
    is(refused(post('/send', $body{'truncated'}, 'Idempotency-Key' => 'k 1')), '400 invalid_idempotency_key',
        'a bad key is named first');
};

subtest 'not an object' => sub {
    is(refused(post('/send', $_)), '400 invalid_request ', "body $_") for '[]', '[{}]', '"text"', '1', 'true', 'null';
    is_deeply(post('/send', '[]')->{json}{errors}[0]{pointer}, '', 'the pointer to the whole');
};

subtest 'members' => sub {
    my $long  = 'x' x 4097;
    my @table = (
        [{},                                      '/text /to'],
        [{to => undef, text => undef},            '/text /to'],
        [{to => 1, text => 2},                    '/text /to'],
        [{to => ['+15550100099'], text => {}},    '/text /to'],
        [{to => '', text => ''},                  '/text /to'],
        [{to => '', content => ''},               '/content /to'],
        [{%$m, text => $long},                    '/text'],
        [{%$m, text => \1},                       '/text'],
        [{to => $m->{to}, media => []},           '/text'],
        [{to => $m->{to}, mediaUrls => []},       '/text'],
        [{%$m, content => 'a'},                   '/content'],
        [{%$m, content => $m->{text}},            '/content'],
        [{%$m, media => ['https://a.example/'], mediaUrls => ['https://a.example/']}, '/mediaUrls'],
        [{%$m, from => '+15550100001', fromPhoneId => '+15550100001'}, '/fromPhoneId'],
        [{%$m, content => 'a', fromPhoneId => '1', from => '1', media => 'https://a.example/',
            mediaUrls => 'https://a.example/'},   '/content /fromPhoneId /mediaUrls'],
        [{%$m, from => ''},                       '/from'],
        [{%$m, from => undef},                    '/from'],
        [{%$m, from => 15550100001},              '/from'],
        [{%$m, fromPhoneId => ['+15550100001']},  '/fromPhoneId'],
        [{%$m, media => 'http://a.example/a'},    '/media'],
        [{%$m, mediaUrls => 'ftp://a.example/a'}, '/mediaUrls'],
        [{%$m, media => 1},                       '/media'],
        [{%$m, media => {}},                      '/media'],
        [{%$m, media => undef},                   '/media'],
        [{%$m, media => ''},                      '/media'],
        [{%$m, media => ['https://a.example/', 'http://a.example/', 'https://b.example/', 3, undef, ['https://a.example/']]},
                                                  '/media/1 /media/3 /media/4 /media/5'],
        [{%$m, mediaUrls => ['https://', 'https:///a', 'https://?', 'https://a b/', "https://a.example/\n",
            'file:///etc/passwd', 'data:,x', '//a.example/', 'a.png', '']},
            join ' ', map { "/mediaUrls/$_" } 0 .. 9],
        [{to => '0123', text => $long, from => '', media => 'http://a', idempotencyKey => 'a b'},
                                                  '/from /idempotencyKey /media /text /to'],
    );
    is(refused(post('/send', $_->[0])), "400 invalid_request $_->[1]", substr(encode_json($_->[0]), 0, 70))
        for @table;
    is(refused(post(url('/none/send'), {})), '400 invalid_request /from /text /to', 'no sender either');
    post('/send', {%$m, media => ['HTTPS://A.example/x']});
    is($api->count, 1, 'the scheme may be in any case');
};

subtest 'recipients' => sub {
    my @bad = ('15550100099', '+', '+1', '+0123456789', '+1555 0100099', '+1555010009a', '+1234567890123456',
        ' +15550100099', '+15550100099 ', "+15550100099\n", '++15550100099', '00447700900000', 'tel:+15550100099',
        '@g.us', '-1@g.us', '1-@g.us', '1-2-3@g.us', 'a@g.us', '120363000000000001@g.uss',
        '120363000000000001@G.US', '120363000000000001@s.whatsapp.net', '1@g.us@g.us',
        "+1555010\x{0660}099", "\x{ff0b}15550100099");
    my $before = $api->count;
    is(refused(post('/send', {%$m, to => $_})), '400 invalid_request /to', encode_json([$_])) for @bad;
    is($api->count, $before, 'Chatmaid heard nothing');
};

subtest 'the problem' => sub {
    my $answer = post('/send', {text => 'a', content => 'b', media => ['http://a', 'http://b']}, 'X-Request-Id' => 'r-1');
    my $json   = $answer->{json};
    is($answer->{status}, 400, 'status');
    is($answer->{headers}{'content-type'}, 'application/problem+json', 'type');
    is($answer->{headers}{'content-length'}, length $answer->{body}, 'length');
    is($answer->{headers}{'x-request-id'}, 'r-1', 'X-Request-Id');
    is_deeply([sort keys %$json], [qw(code detail errors outcome requestId status title type)], 'members');
    is_deeply([@$json{qw(type title status code requestId outcome)}],
        ['about:blank', 'Bad Request', 400, 'invalid_request', 'r-1', 'not_sent'], 'their values');
    like($answer->{body}, qr/"status":400\b/, 'a number');
    like($json->{detail}, qr/\w/, 'a detail');
    is_deeply([map { $_->{pointer} } @{$json->{errors}}], ['/to', '/content', '/media/0', '/media/1'], 'pointers');
    is_deeply([map { join ' ', sort keys %$_ } @{$json->{errors}}], [('detail pointer') x 4], 'members of errors');
    is(scalar(grep { !/\w/ } map { $_->{detail} } @{$json->{errors}}), 0, 'each with a detail');

    my $quoted = post('/send', '{"to":"+15550100099","text":"private words", "x": nonsense}');
    unlike($quoted->{body}, qr/private|nonsense/, 'a detail quotes nothing of the body');
    is(scalar($nginx->logged(qr/private|nonsense/)), 0, 'nor does the log');
};

is($api->count, 1, 'the one without a fault reached Chatmaid, nothing else');

done;
