# POST send: what Chatmaid gets for what a caller writes, and what comes back.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(encode);

debug_logs;

my $api   = sandbox;
my $nginx = nginx(
    http    => 'chatmaid_idempotency off;',     # each send reaches Chatmaid
    gateway => 'chatmaid_sender +15550100001;',
    server  => <<'END');
        set $desk +15550100;
        location ^~ /none/  { chatmaid_gateway /.chatmaid/; }
        location ^~ /fixed/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001 fixed; }
        location ^~ /by/    { chatmaid_gateway /.chatmaid/; chatmaid_sender $desk$arg_desk; }
        location ^~ /maybe/ { chatmaid_gateway /.chatmaid/; chatmaid_sender $arg_sender; }
        location ^~ /only/  { chatmaid_gateway /.chatmaid/; chatmaid_sender $arg_sender fixed; }
END

my $m     = {to => '+15550100099', text => 'Your table is ready'};
my @media = map { "https://cdn.example/$_.png?a=1&b=/2" } 1, 2;

# The body that Chatmaid got last, with the derived key, which is not the topic
# here, cut out of it.
sub got () {
    my $body = $api->last->{body};
    $body =~ s/"idempotencyKey":"[0-9a-f]{64}"/"idempotencyKey":"*"/;
    return $body;
}

sub to ($path, $body, @headers) { post(url($path), $body, @headers) }

sub refused ($answer) { join ' ', $answer->{status}, $answer->{json}{code},
    map { $_->{pointer} } @{$answer->{json}{errors} // []} }


subtest 'the first send' => sub {
    my $first = post('/send', $m);
    my ($made) = $api->messages;
    is($first->{status}, 201, 'accepted');
    is($first->{headers}{'content-type'}, 'application/json', 'JSON');
    is($first->{headers}{'content-length'}, length $first->{body}, 'its length');
    is($api->made, 1, 'one message');
    is($api->count, 1, 'by one request');
    is_deeply([sort keys %{$first->{json}}], [qw(content createdAt deliveredAt errorCode errorMessage
        failedAt from groupId id isGroup mediaUrls readAt sentAt status to)], 'data, unwrapped');
    is_deeply([@{$first->{json}}{qw(id from to content status)}],
        [$made->{id}, '+15550100001', '+15550100099', $m->{text}, 'sent'], 'the message made');
    is_deeply($first->{json}{mediaUrls}, [], 'an array stays one');
    like($first->{body}, qr/"isGroup":false/, 'a boolean stays one');
    like($first->{body}, qr/"groupId":null/, 'null stays null');

    my $seen = $api->last;
    is("$seen->{method} $seen->{target} $seen->{version}", 'POST /v1/messages/send 1.1', 'request line');
    is($seen->{account}, 'main', 'with the key');
    is(got, '{"content":"Your table is ready","fromPhoneId":"+15550100001",'
        . '"idempotencyKey":"*","to":"+15550100099"}', 'body, byte for byte');
    is_deeply([$api->header($seen, 'Content-Length')], [length $seen->{body}], 'its length');
    is_deeply([$api->header($seen, 'Content-Type')], ['application/json'], 'its type');
};

subtest 'spellings' => sub {
    my $rest = '"fromPhoneId":"+15550100001","idempotencyKey":"*"';
    my $to   = '"to":"+15550100099"';
    my ($one, $two) = map { "\"$_\"" } @media;
    my @table = (
        ['text',            {text => 'a'},             qq({"content":"a",$rest,$to})],
        ['content',         {content => 'a'},          qq({"content":"a",$rest,$to})],
        ['media, a string', {media => $media[0]},      qq({$rest,"mediaUrls":[$one],$to})],
        ['media, an array', {media => [@media]},       qq({$rest,"mediaUrls":[$one,$two],$to})],
        ['mediaUrls',       {mediaUrls => [@media]},   qq({$rest,"mediaUrls":[$one,$two],$to})],
        ['mediaUrls, a string', {mediaUrls => $media[0]}, qq({$rest,"mediaUrls":[$one],$to})],
        ['both',            {text => 'a', media => $media[0]}, qq({"content":"a",$rest,"mediaUrls":[$one],$to})],
        ['the same, mixed', {content => 'a', media => $media[0]}, qq({"content":"a",$rest,"mediaUrls":[$one],$to})],
        ['text, no media',  {text => 'a', media => []}, qq({"content":"a",$rest,"mediaUrls":[],$to})],
        ['from',            {text => 'a', from => '+15550100002'},
            qq({"content":"a","fromPhoneId":"+15550100002","idempotencyKey":"*",$to})],
        ['fromPhoneId',     {text => 'a', fromPhoneId => '+15550100002'},
            qq({"content":"a","fromPhoneId":"+15550100002","idempotencyKey":"*",$to})],
        ['escapes',         {text => "\"\\/\n\t\x{1}\x7f"},
            qq({"content":"\\"\\\\/\\n\\t\\u0001\x7f",$rest,$to})],
        ['beyond ASCII',    {text => "Grüße \x{1F600}"},
            encode('UTF-8', qq({"content":"Grüße \x{1F600}",$rest,$to}))],
    );
    for (@table) {
        my ($name, $more, $want) = @$_;
        is(post('/send', {to => '+15550100099', %$more})->{status}, 201, "$name: accepted");
        is(got, $want, "$name: as Chatmaid spells it");
    }
    post('/send', qq( {"text":\r\n"\\u0047r\\u00fc\\ud83d\\ude00" ,\t"to" : "+15550100099"}\n));
    is(got, encode('UTF-8', qq({"content":"Gr\x{fc}\x{1F600}",$rest,$to})), 'white space, \u escapes');
};

subtest 'members unknown here' => sub {
    my $body = '{"zeta":[1,{"b":null,"a":-2.5}],"to":"+15550100099","text":"a","Alpha":true,"n":12345678901234567}';
    is(post('/send', $body)->{status}, 201, 'accepted');
    is(got, '{"Alpha":true,"content":"a","fromPhoneId":"+15550100001","idempotencyKey":"*",'
        . '"n":12345678901234567,"to":"+15550100099","zeta":[1,{"a":-2.5,"b":null}]}', 'go on, sorted');
    my $before = $api->sends;
    my $judged = post('/send', {%$m, environment => 'test'});
    is($judged->{status}, 400, "Chatmaid's to judge");
    is($judged->{json}{detail}, 'environment must not be sent', 'in its words');
    is($api->sends, $before + 1, 'it was asked');
};

subtest 'recipients' => sub {
    for my $to ('+15', '+123456789012345', '120363000000000001@g.us', '4915550100-1600000000@g.us') {
        is(post('/send', {%$m, to => $to})->{status}, 201, "$to: accepted");
        is(($api->messages)[-1]{to}, $to, "$to: as it is");
    }
    my $group = post('/send', {%$m, to => '120363000000000001@g.us'})->{json};
    is($group->{groupId}, '120363000000000001@g.us', 'the message of a group');
};

subtest 'length of a text' => sub {
    my %char = ('1 byte' => 'x', '2 bytes' => "\x{fc}", '4 bytes' => "\x{1F600}");
    for my $kind (sort keys %char) {
        is(post('/send', {%$m, text => $char{$kind} x 4096})->{status}, 201, "4096 of $kind");
        is(($api->messages)[-1]{content}, $char{$kind} x 4096, "4096 of $kind: whole");
        is(refused(post('/send', {%$m, text => $char{$kind} x 4097})), '400 invalid_request /text', "4097 of $kind");
        is(refused(post('/send', {%$m, text => undef, content => $char{$kind} x 4097})),
            '400 invalid_request /content /text', "4097 of $kind and a null") if $kind eq '1 byte';
    }
    my $pair = '\ud83d\ude00';
    my $body = sub ($n) { '{"to":"+15550100099","text":"' . $pair x $n . '"}' };
    is(post('/send', $body->(4096))->{status}, 201, '4096 escaped pairs of surrogates');
    is(refused(post('/send', $body->(4097))), '400 invalid_request /text', '4097 of them');
};

subtest 'the sender' => sub {
    my %from = (%$m, from => '+15550100002');
    is(refused(to('/none/send', $m)), '400 invalid_request /from', 'none anywhere');
    is(to('/none/send', {%from})->{json}{from}, '+15550100002', "the caller's");
    is(to('/by/send?desk=002', $m)->{json}{from}, '+15550100002', 'variables');
    is(to('/by/send?desk=001', {%from})->{json}{from}, '+15550100002', "the caller's goes first");
    is(refused(to('/maybe/send', $m)), '400 invalid_request /from', 'a variable that is empty');
    is(refused(to('/fixed/send', {%from})), '403 sender_denied', 'fixed, another');
    is(refused(to('/fixed/send', {%$m, fromPhoneId => '+15550100002'})), '403 sender_denied', 'in the other spelling');
    is(refused(to('/fixed/send', {%$m, from => '+1555010000'})), '403 sender_denied', 'a part of it');
    is(to('/fixed/send', {%$m, from => '+15550100001'})->{status}, 201, 'fixed, the same');
    is(to('/fixed/send', $m)->{json}{from}, '+15550100001', 'fixed, none');
    is(refused(to('/only/send', {%from})), '403 sender_denied', 'fixed, but empty');
    is(to('/fixed/send', {%from})->{json}{outcome}, 'not_sent', 'outcome');
};

subtest 'types' => sub {
    my %status = (
        'application/json'                  => 201, 'application/json; charset=utf-8' => 201,
        'Application/JSON;charset=UTF-8'    => 201, 'application/json ; charset=utf-8' => 201,
        'text/plain'                        => 415, 'application/jsonp'               => 415,
        'application/problem+json'          => 415, 'application/x-www-form-urlencoded' => 415,
        'text/plain; application/json'      => 415, 'application'                     => 415,
    );
    my $before = $api->sends;
    for my $type (sort keys %status) {
        is(post('/send', $m, 'Content-Type' => $type)->{status}, $status{$type}, $type);
    }
    my $none = post('/send', $m, 'Content-Type' => undef);
    is(refused($none), '415 unsupported_media_type', 'none');
    is($none->{headers}{'content-type'}, 'application/problem+json', 'a problem');
    is(refused(post('/send', $m, 'Content-Encoding' => $_)), '415 unsupported_media_type', "encoding $_")
        for 'gzip', 'deflate', 'br', 'identity, gzip';
    is(post('/send', $m, 'Content-Encoding' => 'Identity')->{status}, 201, 'identity is no encoding');
    is(refused(post('/send', $m, 'Content-Encoding' => 'identity', 'Content-Encoding' => 'gzip')), '415 unsupported_media_type', 'but not beside another');
    is($api->sends, $before + 5, 'only what is right reached Chatmaid');
};

subtest 'connections' => sub {
    my ($http, $before, $many) = (client(keepalive => 1), $api->count, 60);
    my $open = $api->state->{accepted};
    my %status;
    $status{$http->post('/send', {%$m, text => "No. $_"})->{status}}++ for 1 .. $many;
    is_deeply(\%status, {201 => $many}, "$many sends on one connection");
    my %connection = map { $_->{connection} => 1 } $api->requests(from => $before + 1);
    is(scalar keys %connection, 1, 'reach Chatmaid on one');
    is($api->state->{accepted}, $open, 'which was there before');
    is($api->last->{sni}, 'developers-api.chatmaid.net', 'with the name of Chatmaid');
};

subtest 'a live key' => sub {
    my $live = nginx(key => live_key, gateway => 'chatmaid_sender +15550100001;');
    is($live->post('/send', $m)->{json}{status}, 'pending', 'accepted');
    is($api->last->{environment}, 'live', 'with the live key');
    is(($api->messages)[-1]{environment}, 'live', 'a live message');
};

done;
