# The operation key a caller gives or is given, and the key derived from it that
# Chatmaid gets.  Changing the derivation is a breaking change: every gateway
# must give the same, and one that is upgraded the same as before.

use Chatmaid::Test;
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(decode_json);

my $api   = sandbox;
my $other = api_key('test');
$api->config(keys => [map { {key => $_, account => 'main'} } test_key, live_key, $other]);

# Without records each send reaches Chatmaid, which deduplicates by that key.
my $nginx = nginx(
    http    => 'chatmaid_idempotency off;',
    files   => {live => live_key, other => $other},
    gateway => 'chatmaid_sender +15550100001; chatmaid_account orders;',
    server  => <<'END');
        location ^~ /again/ { chatmaid_gateway /.chatmaid/; chatmaid_account orders; }
        location ^~ /kept/ { chatmaid_gateway /.chatmaid/; chatmaid_account orders; chatmaid_sender +15550100001;
            chatmaid_idempotency on; }
        location ^~ /billing/ { chatmaid_gateway /.chatmaid/; chatmaid_account billing; chatmaid_sender +15550100001;
            chatmaid_idempotency on; }
        location ^~ /brief/ { chatmaid_gateway /.chatmaid/; chatmaid_account brief; chatmaid_sender +15550100001;
            chatmaid_idempotency on; chatmaid_idempotency_window 1s; chatmaid_retries 0; }
        location ^~ /nameless/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; }
        location ^~ /live/ { chatmaid_gateway /.chatmaid/; chatmaid_account orders; chatmaid_sender +15550100001;
            chatmaid_api_key_file %DIR%/live; }
        location ^~ /rotated/ { chatmaid_gateway /.chatmaid/; chatmaid_account rotated; chatmaid_sender +15550100001;
            chatmaid_api_key_file %DIR%/other; }
END

my $m = {to => '+15550100099', text => 'Hello'};
my $long = 'k' x 255;

sub with ($key, $body = $m) { post('/send', $body, 'Idempotency-Key' => $key) }
sub got ()                  { decode_json($api->last->{body})->{idempotencyKey} }
sub echo ($answer)          { $answer->{headers}{'idempotency-key'} }
sub refused ($answer)       { join ' ', $answer->{status}, $answer->{json}{code},
    map { $_->{pointer} } @{$answer->{json}{errors} // []} }

# The derivation, written down once more.
sub derived ($account, $key, $message) {
    return sha256_hex(netstrings('chatmaid-1', $account, '', $key, sha256_hex($message)));
}

my $hello = '{"content":"Hello","fromPhoneId":"+15550100001","to":"+15550100099"}';


subtest 'the key sent to Chatmaid' => sub {
    my $answer = with('order-1');
    is($answer->{status}, 201, 'accepted');
    is(echo($answer), 'order-1', 'the key in the answer');
    is(got, '9f494a619f8395e2c1ac3a99345a5a4039468cfb56f1ee8e341bb04b056de099', 'the test vector');
    is(got, derived('test:orders', 'order-1', $hello), 'as derived here');
    my ($first) = map { $_->{idempotencyKey} } $api->messages;
    is(sha256_hex($hello), '03ba210a9857acb645c2e570f71a4ce161cab3df4ff113e633e0a2230ec1d4c0', 'the fingerprint of the vector');

    my %same = (
        'order of the members'  => '{"text":"Hello","to":"+15550100099"}',
        'white space'           => "\n{ \"to\" :\t\"+15550100099\" , \"text\" : \"Hello\" }\r\n",
        'the other spelling'    => {to => $m->{to}, content => 'Hello'},
        'escapes'               => '{"to":"\u002b15550100099","t\u0065xt":"H\u0065llo"}',
        'the sender spelt out'  => {%$m, from => '+15550100001'},
        'spelt out otherwise'   => {%$m, fromPhoneId => '+15550100001'},
        'the key in the body as well' => {%$m, idempotencyKey => 'order-1'},
    );
    for my $name (sort keys %same) {
        is(with('order-1', $same{$name})->{status}, 201, "$name: accepted");
        is(got, $first, "$name: the same");
    }
    post('/send', {%$m, idempotencyKey => 'order-1'});
    is(got, $first, 'the key in the body alone: the same');
    post(url('/again/send'), {%$m, from => '+15550100001'}, 'Idempotency-Key' => 'order-1');
    is(got, $first, 'another location of the account: the same');
    is($api->made, 1, 'all of it one message');

    my %other = (
        'another key'       => ['/chatmaid/send', 'order-2', $m],
        'case of the key'   => ['/chatmaid/send', 'Order-1', $m],
        'another text'      => ['/chatmaid/send', 'order-1', {%$m, text => 'hello'}],
        'another recipient' => ['/chatmaid/send', 'order-1', {%$m, to => '+15550100098'}],
        'another sender'    => ['/chatmaid/send', 'order-1', {%$m, from => '+15550100002'}],
        'media as well'     => ['/chatmaid/send', 'order-1', {%$m, media => 'https://a.example/'}],
        'an unknown member' => ['/chatmaid/send', 'order-1', {%$m, x => undef}],
        'another account'   => ['/billing/send',  'order-1', $m],
        'no name'           => ['/nameless/send', 'order-1', $m],
        'live'              => ['/live/send',     'order-1', $m],
    );
    my %seen = ($first => 'the first');
    for my $name (sort keys %other) {
        my ($path, $key, $body) = @{$other{$name}};
        is(post(url($path), $body, 'Idempotency-Key' => $key)->{status}, 201, "$name: accepted");
        ok(!$seen{got()}++, "$name: another");
    }
    post(url('/nameless/send'), $m, 'Idempotency-Key' => 'order-1');
    is(got, derived('test:', 'order-1', $hello), 'no name: as derived here');
    post(url('/live/send'), $m, 'Idempotency-Key' => 'order-1');
    is(got, derived('live:orders', 'order-1', $hello), 'live: as derived here');
    post(url('/rotated/send'), $m, 'Idempotency-Key' => 'order-1');
    is(got, derived('test:rotated', 'order-1', $hello), 'nothing comes from the API key');
    with('order-1', {%$m, text => "Gr\x{fc}\x{df}e \x{1F600}", z => [1, {b => 1, a => undef}]});
    is(got, derived('test:orders', 'order-1', '{"content":"Gr' . "\xc3\xbc\xc3\x9fe \xf0\x9f\x98\x80"
        . '","fromPhoneId":"+15550100001","to":"+15550100099","z":[1,{"a":null,"b":1}]}'), 'UTF-8 and nesting');
};

subtest 'forms of the header' => sub {
    my %key = (
        'a'                      => 'a',
        '"order-1"'              => 'order-1',
        'x"y'                    => 'x"y',
        '"x\\"y\\\\z"'           => 'x"y\\z',
        'a\\"b'                  => 'a\\"b',
        '!#$%&\'()*+,-./:;<=>?@[]^_`{|}~' => '!#$%&\'()*+,-./:;<=>?@[]^_`{|}~',
        $long                    => $long,
        "\"$long\""              => $long,
        '"' . '\\"' x 255 . '"'  => '"' x 255,
        '"\\"x\\\\\\"y"'           => '"x\\"y',
        "  order-1  "           => 'order-1',
        'auto-1'                 => 'auto-1',
    );
    for my $header (sort keys %key) {
        my $answer = with($header);
        my $name   = length $header > 40 ? substr($header, 0, 10) . '... of ' . length $header : $header;
        is($answer->{status}, 201, "$name: accepted");
        is(echo($answer), $key{$header} =~ /^"/ ? $header : $key{$header}, "$name: bare in the answer, if it can be");
        is(got, derived('test:orders', $key{$header}, $hello), "$name: Chatmaid's key");
        with(echo($answer));
        is(got, derived('test:orders', $key{$header}, $hello), "$name: the same when it is sent back");
    }
};

subtest 'headers refused' => sub {
    my $before = $api->count;
    my %bad = (
        'empty'                 => '',              'empty, quoted'         => '""',
        '256 characters'        => 'k' x 256,       '256 quoted'           => '"' . 'k' x 256 . '"',
        'a space'               => 'a b',           'a space, quoted'       => '"a b"',
        'a tab'                 => "a\tb",          'not ASCII'             => "caf\xc3\xa9",
        'DEL'                   => "a\x7f",         'not closed'            => '"abc',
        'a quote alone'         => '"',             'an escape of nothing'  => '"a\\b"',
        'a backslash at the end' => '"a\\"',        'something behind'      => '"a"b',
        'parameters'            => '"a";b=1',       'two strings'           => '"a", "b"',
    );
    for my $name (sort keys %bad) {
        my $answer = raw("POST /chatmaid/send HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            . "Idempotency-Key: $bad{$name}\r\nContent-Length: 36\r\n\r\n" . '{"to":"+15550100099","text":"Hello"}');
        is(refused($answer), '400 invalid_idempotency_key', $name);
        is(echo($answer), undef, "$name: none in the answer");
    }
    is(refused(with(['a', 'b'])), '400 invalid_idempotency_key', 'two headers');
    is(refused(with(['a', 'a'])), '400 invalid_idempotency_key', 'two headers, equal');
    is($api->count, $before, 'Chatmaid heard nothing');
    is(refused(with('a', {})), '400 invalid_request /to /text', 'a good key, a bad message');
    is(echo(with('a', {})), 'a', 'the key in the answer');
};

subtest 'the key in the body' => sub {
    my $key = sub ($key) { +{%$m, idempotencyKey => $key} };
    my $body = post('/send', $key->('body-1'));
    is(echo($body), 'body-1', 'in the answer');
    is(got, derived('test:orders', 'body-1', $hello), 'as derived here');
    my $quote = post('/send', $key->('"q'));
    is(echo($quote), '"\\"q"', 'a quote in front: as a quoted string in the answer');
    is(with(echo($quote))->{status}, 201, 'sent back');
    is(got, derived('test:orders', '"q', $hello), 'it names the same operation');
    is(with('both', $key->('both'))->{status}, 201, 'both, equal');
    is(with('"both"', $key->('both'))->{status}, 201, 'both, one quoted');
    is(post('/send', $key->($long))->{status}, 201, '255 characters');
    my $before = $api->count;
    my %bad = ('256 characters' => 'k' x 256, 'empty' => '', 'a space' => 'a b', 'not ASCII' => "caf\x{e9}",
        'a number' => 1, 'null' => undef, 'an array' => ['a'], 'a line feed' => "a\n");
    is(refused(post('/send', $key->($bad{$_}))), '400 invalid_idempotency_key /idempotencyKey', $_)
        for sort keys %bad;
    is(refused(with('a', $key->('b'))), '400 invalid_idempotency_key /idempotencyKey', 'both, different');
    is(refused(with('a', $key->('A'))), '400 invalid_idempotency_key /idempotencyKey', 'both, but for case');
    is(refused(with('a', $key->(''))), '400 invalid_idempotency_key /idempotencyKey', 'both, one empty');
    is(refused(post('/send', {%$m, to => 1, idempotencyKey => ''})), '400 invalid_request /idempotencyKey /to',
        'with other faults');
    is($api->count, $before, 'Chatmaid heard nothing');
};

# The window may end between two sends, but not in every one of a few pairs.
sub in_one_window ($code) {
    for (1 .. 5) {
        my $window = int(time / 120);
        my @result = $code->($window);
        return @result if int(time / 120) == $window;
    }
}

subtest 'keyless' => sub {
    my ($one, $two, $key, $window, $first) = in_one_window(sub ($window) {
        my $one = post(url('/kept/send'), $m);
        my $key = got;
        return ($one, post(url('/kept/send'), {content => 'Hello', to => $m->{to}}), $key, $window, got);
    });
    like(echo($one), qr/\Aauto-[0-9a-f]{64}\z/, 'a key in the answer');
    is(echo($one), 'auto-' . sha256_hex(netstrings('chatmaid-auto-1', 'test:orders', '', sha256_hex($hello), $window)),
        'from account, fingerprint and window');
    is(echo($two), echo($one), 'the same for an equal message');
    is($first, $key, 'the same for Chatmaid');
    is($two->{json}{id}, $one->{json}{id}, 'one message');
    is(with(echo($one))->{json}{id}, $one->{json}{id}, 'sent back as a header: the same message');
    is(got, $key, 'the same key');
    isnt(echo(post(url('/kept/send'), {%$m, text => 'hello'})), echo($one), 'another message, another key');
    isnt(echo(post(url('/billing/send'), $m)), echo($one), 'another account, another key');
};

# A key of the caller's own may look like one of ours.
subtest 'a key that begins with auto-' => sub {
    my $kept = sub ($message, @key) { post(url('/kept/send'), $message, map { ('Idempotency-Key' => $_) } @key) };
    my ($before, $first, $second, $mine, $other, $key) = in_one_window(sub ($window) {
        my ($mine, $other) = map { message } 1, 2;
        my $text = qq({"content":"$mine->{text}","fromPhoneId":"+15550100001","to":"$mine->{to}"});
        my $key  = 'auto-' . sha256_hex(netstrings('chatmaid-auto-1', 'test:orders', '', sha256_hex($text), $window));
        return ($kept->($other, $key), $kept->($mine), $kept->($mine), $mine, $other, $key);
    });
    is($before->{status}, 201, 'with another message');
    is($first->{status}, 201, 'does not stand in the way of a keyless send');
    is(echo($first), $key, 'whose key it is');
    is(replayed($second), 'replayed', 'which has a record of its own');
    is(replayed($kept->($mine, $key)), 'replayed', 'sent back with the same message it names that record');
    is($kept->($mine, $key)->{json}{id}, $first->{json}{id}, 'and its message');
    is(replayed($kept->($other, $key)), 'replayed', 'with the other message it names that of the other');
    is(replayed($kept->(message, $key)), 'new', 'and with a third one none of them');
};

subtest 'a key that is sent back in a later window' => sub {
    my $one = message;
    $api->fault({status => 500, json => {success => \0, message => ['oops']}});
    my $first = post(url('/brief/send'), $one);
    is(told($first), '502 upstream_error unknown', 'a send that may have been accepted');
    my $answered = time;
    wait_for(sub { time - $answered >= 4 }, 'three windows to pass');
    $api->fault({status => 400, json => {success => \0, message => ['no']}});
    is(told(post(url('/brief/send'), $one, 'Idempotency-Key' => echo($first))), '400 invalid_request unknown', 'the same record');
};

subtest 'keyless, without records' => sub {
    isnt(echo(post('/send', $m)), echo(post('/send', $m)), 'each is like no other');
};

subtest 'the same key again' => sub {
    $api->reset;
    my @answer = map { with('again') } 1 .. 2;
    is($answer[1]{status}, 201, 'accepted again');
    is($answer[1]{json}{id}, $answer[0]{json}{id}, 'the same message');
    is($api->made, 1, 'one message');
    isnt(with('again', {%$m, text => 'Bye'})->{json}{id}, $answer[0]{json}{id}, 'a changed message is not lost');
    is(($api->messages)[-1]{content}, 'Bye', 'but made');
};

done;
