# Members that are null or empty, as official clients send them, and recipients
# of kinds that we don't know.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);

my $api = sandbox(dedup => 0);
nginx(gateway => 'chatmaid_sender +15550100001; chatmaid_idempotency_window 0;', server => <<'END');
        location ^~ /any/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_recipients any; chatmaid_idempotency_window 0; }
END

my $url  = 'https://a.example/a.png';
my @made = (status => 201, json => {success => \1, data => {id => 'msg_1'}});
my $from = '"fromPhoneId":"+15550100001"';
my $to   = '"to":"+15550100099"';

sub got () { ($api->last->{body} =~ s/"idempotencyKey":"[0-9a-f]{64}",?//r) }

# What Chatmaid gets of these members beside a recipient, or why they are refused.
sub becomes ($at, $members, @header) {
    my $before = $api->count;
    $api->fault({@made});
    my $answer = post(url($at), "{$members" . ($members =~ /"to"/ ? '' : ",$to") . '}', @header);
    return got if $answer->{status} == 201;
    $api->clear_faults;
    is($api->count, $before, "$members: not sent");
    my $json = $answer->{json};
    return join ' ', $answer->{status}, $json->{code} ? ($json->{code}, map { "$_->{pointer}: $_->{detail}" } @{$json->{errors}}) : @{$json->{message}};
}


subtest 'the native face' => sub {
    my $v1 = sub ($members, @header) { becomes('/chatmaid/v1/messages/send', $members, @header) };
    my $media = "\"mediaUrls\":[\"$url\"]";
    my %passed = (
        "\"content\":\"\",$media"       => "{\"content\":\"\",$from,$media,$to}",
        "\"content\":null,$media"       => "{\"content\":null,$from,$media,$to}",
        '"content":"a","mediaUrls":null' => "{\"content\":\"a\",$from,\"mediaUrls\":null,$to}",
        '"content":"a","mediaUrls":[]'  => "{\"content\":\"a\",$from,\"mediaUrls\":[],$to}",
        '"content":"a","idempotencyKey":null' => "{\"content\":\"a\",$from,$to}",
        '"content":"a","idempotencyKey":""' => "{\"content\":\"a\",$from,$to}",
        "\"content\":\"\",$media,\"idempotencyKey\":\"\"" => "{\"content\":\"\",$from,$media,$to}",
    );
    is($v1->($_), $passed{$_}, $_) for sort keys %passed;
    is($v1->('"content":"a","idempotencyKey":null', 'Idempotency-Key' => 'k-1'), "{\"content\":\"a\",$from,$to}", 'null beside the header');
    is($v1->('"content":"b","idempotencyKey":""', 'Idempotency-Key' => 'k-2'), "{\"content\":\"b\",$from,$to}", 'nothing beside the header');
    is(post(url('/chatmaid/v1/messages/send'), "{\"content\":\"b\",\"idempotencyKey\":\"\",$to}", 'Idempotency-Key' => 'k-2')->{headers}{'idempotent-replayed'}, 'true', "the header's key counts");

    my $required = '400 content is required where there is no media';
    my %refused = (
        '"content":""'                    => '400 content must not be empty',
        '"content":"","mediaUrls":[]'     => '400 content must not be empty',
        '"content":"","mediaUrls":null'   => '400 content must not be empty',
        '"content":null'                  => $required,
        '"content":null,"mediaUrls":null' => $required,
        '"content":null,"mediaUrls":[]'   => $required,
        '"x":1'                           => $required,
        "\"content\":\"a\",\"mediaUrls\":\"$url\"" => '400 mediaUrls must be an array',
        '"content":"","mediaUrls":[null]' => '400 mediaUrls/0 must be an https URL',
        '"content":"a","fromPhoneId":null' => '400 fromPhoneId must be a string that is not empty, not null',
        '"content":"a","to":null'         => '400 to must be a string, not null',
        '"content":"a","idempotencyKey":"a b"' => '400 idempotencyKey must be of visible ASCII characters',
    );
    is($v1->($_), $refused{$_}, $_) for sort keys %refused;
};

subtest 'the simplified face' => sub {
    my $send = sub ($members, @header) { becomes('/chatmaid/send', $members, @header) };
    my $media = "\"mediaUrls\":[\"$url\"]";
    my %passed = ("\"text\":\"\",\"media\":\"$url\"" => "{$from,$media,$to}", "\"content\":\"\",$media" => "{$from,$media,$to}", '"text":"a","media":[]' => "{\"content\":\"a\",$from,\"mediaUrls\":[],$to}");
    is($send->($_), $passed{$_}, $_) for sort keys %passed;

    my %refused = (
        "\"text\":null,\"media\":\"$url\"" => '400 invalid_request /text: must be a string, not null',
        '"text":"a","media":null'        => '400 invalid_request /media: must be a string or an array, not null',
        '"text":"a","from":null'         => '400 invalid_request /from: must be a string that is not empty, not null',
        '"text":"a","to":null'           => '400 invalid_request /to: must be a string, not null',
        '"text":1'                       => '400 invalid_request /text: must be a string',
        '"text":"","media":[]'           => '400 invalid_request /text: must not be empty',
        '"text":""'                      => '400 invalid_request /text: must not be empty',
        '"text":"a","idempotencyKey":null' => '400 invalid_idempotency_key /idempotencyKey: must be a string, not null',
        '"text":"a","idempotencyKey":""' => '400 invalid_idempotency_key /idempotencyKey: must not be empty',
    );
    is($send->($_), $refused{$_}, $_) for sort keys %refused;
    is(post('/send', "{\"text\":\"a\",$to}", 'Idempotency-Key' => $_->[0])->{json}{detail}, "the Idempotency-Key header $_->[1]", "a header of \"$_->[0]\"")
        for ['""', 'must not be empty'], ['a b', 'must be of visible ASCII characters'], ['"a', 'begins like a quoted string, but is none'], ['x' x 256, 'must have at most 255 characters'];
};

subtest 'recipients' => sub {
    for my $other ('123456789@lid', '120363000000000001@newsletter', '15550100099', '', "\x{e9}") {
        my $member = '"to":' . encode_json([$other]) =~ s/^\[|\]$//gr;
        like(becomes('/chatmaid/send', "\"text\":\"a\",$member"), qr{^400 invalid_request /to: must be a phone number}, "$member: refused");
        is(becomes('/any/send', "\"text\":\"a\",$member"), "{\"content\":\"a\",$from,$member}", "$member: left to Chatmaid, if told so");
        is(becomes('/chatmaid/v1/messages/send', "\"content\":\"a\",$member"), "{\"content\":\"a\",$from,$member}", "$member: and on the native face");
    }
    is(becomes('/any/send', '"text":"a","to":1'), '400 invalid_request /to: must be a string', 'but no number');
};

done;
