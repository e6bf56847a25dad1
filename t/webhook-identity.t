# Which events are one: by their signed fields, as JSON has them, for an account
# and a location.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $hook     = 'location = /webhooks/chatmaid { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; }';
my $zone     = edge(workers => 2, server => <<'END', servers => <<"END");
        location = /second { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; }
        location = /off    { chatmaid_webhook on; chatmaid_webhook_dedup 0; proxy_pass http://127.0.0.1:%API%; }
END
    server { listen 127.0.0.1:%PORT:same%; $hook }
    server { listen 127.0.0.1:%PORT:shop%; chatmaid_account shop; $hook }
END

my $serial = 0;
sub id ()    { 'msg_' . ++$serial }
sub fresh () { $receiver->reset }
sub count () { $receiver->count }

# Delivered, then sent again: how often the receiver got one of them.
sub times_of ($at, @bodies) {
    fresh;
    my @codes = map { code(hook_again($at, $_)) } @bodies;
    is(join(' ', @codes), join(' ', (200) x @bodies), 'each is answered with 200') or note join "\n", @bodies;
    return count;
}

sub one_event ($name, @bodies) { is(times_of($zone, @bodies), 1, "$name: one event") }
sub two_events ($name, @bodies) { is(times_of($zone, @bodies), 2, "$name: two events") }


subtest 'a message event' => sub {
    my $in = sub ($event, $time, $data) { qq({"event":"$event","timestamp":"$time","data":$data}) };
    my $id;
    my $data = sub ($text) { $id = id; $text =~ s/ID/$id/gr };

    one_event('the same bytes', (event('message.sent')) x 3);
    my $d = $data->('{"messageId":"ID","a":1,"b":{"c":[1,2],"d":null}}');
    one_event('another timestamp', $in->('message.sent', 1, $d), $in->('message.sent', 2, $d));
    $d = $data->('{"messageId":"ID"}');
    one_event('no timestamp', $in->('message.sent', 1, $d), qq({"event":"message.sent","data":$d}));
    $d = $data->('{"messageId":"ID"}');
    one_event('members in another order', $in->('message.sent', 1, $d), qq({"data":$d,"event":"message.sent","timestamp":"1"}));
    $d = $data->('{"messageId":"ID","a":1,"b":{"c":[1,2],"d":null}}');
    one_event('members of data in another order', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"b":{"d":null,"c":[1,2]},"a":1,"messageId":"$id"})));
    $d = $data->('{"messageId":"ID","a":"\u00e9/"}');
    one_event('white space and escapes', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({ "messageId" :\n"$id", "\\u0061":"\xc3\xa9\\/"})));
    $d = $data->('{"messageId":"ID"}');
    one_event('something else beside it', $in->('message.sent', 1, $d), qq({"event":"message.sent","timestamp":"1","data":$d,"attempt":2}));

    $d = $data->('{"messageId":"ID"}');
    $d = $data->('{"messageId":"ID","a":[1,1000,-0.5]}');
    one_event('numbers of another spelling', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":[1.0,1e3,-5E-1]})));

    $d = $data->('{"messageId":"ID"}');
    two_events('another event', $in->('message.sent', 1, $d), $in->('message.delivered', 1, $d));
    two_events('another message', $in->('message.sent', 1, $data->('{"messageId":"ID"}')), $in->('message.sent', 1, $data->('{"messageId":"ID"}')));
    $d = $data->('{"messageId":"ID","a":1}');
    two_events('other data', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":2})));
    two_events('a member more', $in->('message.sent', 1, $data->('{"messageId":"ID"}')), $in->('message.sent', 1, qq({"messageId":"$id","a":null})));
    $d = $data->('{"messageId":"ID","a":[1,2]}');
    two_events('an array in another order', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":[2,1]})));
    $d = $data->('{"messageId":"ID","a":"1"}');
    two_events('a string, not a number', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":1})));
    $d = $data->('{"messageId":"ID","a":true}');
    two_events('true, not "true"', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":"true"})));
    $d = $data->('{"messageId":"ID","a":{"b":1}}');
    two_events('nested otherwise', $in->('message.sent', 1, $d), $in->('message.sent', 1, qq({"messageId":"$id","a":{},"b":1})));
    for my $pair (['a number beyond 64 bits', '123456789012345678901', '123456789012345678902'], ['many decimals', '1.00000000000000000001', '1.00000000000000000002'],
        ['a large exponent', '1e400', '2e400'], ['after a NUL', '"a\u0000b"', '"a\u0000c"'], ['lone surrogates', '"\ud800"', '"\ud801"'],
        ['a surrogate and its escape', '"\ud800"', '"\\\\ud800"'], ['zero and minus zero in a text', '"0"', '"-0"'], ['null and nothing', 'null', '{}'],
        ['a member after a NUL', '{"a\u0000b":1}', '{"a\u0000c":1}']) {
        my ($name, @values) = @$pair;
        my $messageId = id;
        two_events($name, map { $in->('message.sent', 1, qq({"messageId":"$messageId","a":$_})) } @values);
    }
    for my $equal (['100', '1e2', '100.0', '0.1E+3', '10000e-02'], ['0', '-0', '0.0e7', '0e99999999999999999999'], ['-1.50', '-15e-1'],
        ['"\u007f"', "\"\x7f\""], ['"\n"', '"\u000a"', '"\u000A"'], ['"\udbff\udfff"', "\"\xf4\x8f\xbf\xbf\""]) {
        my $messageId = id;
        one_event("$equal->[0], however it is written", map { $in->('message.sent', 1, qq({"messageId":"$messageId","a":$_})) } @$equal);
    }
    two_events('an event of an unknown name', $in->('message.x', 1, $data->('{"messageId":"ID"}')), $in->('message.y', 1, qq({"messageId":"$id"})));
    $d = $data->('{"messageId":"ID"}');
    one_event('an unknown message event', $in->('message.reaction', 1, $d), $in->('message.reaction', 2, $d));
};

subtest 'any other event' => sub {
    my $in = sub ($event, $time, $data) { qq({"event":"$event","timestamp":"$time","data":$data}) };
    my $data = sub { '{"phoneId":"' . id . '","a":1}' };
    my $d = $data->();
    one_event('equal timestamps', $in->('phone.connected', 1, $d), qq({"data":$d,"timestamp":"1","event":"phone.connected"}));
    $d = $data->();
    two_events('another timestamp', $in->('phone.connected', 1, $d), $in->('phone.connected', 2, $d));
    $d = $data->();
    two_events('another event', $in->('phone.connected', 1, $d), $in->('phone.disconnected', 1, $d));
    two_events('other data', $in->('phone.connected', 1, $data->()), $in->('phone.connected', 1, $data->()));
    my $outgoing = '{"from":"+15550100001","to":"+15550100099","content":"' . id . '"}';
    one_event('message.outgoing, which has no messageId', ($in->('message.outgoing', 1, $outgoing)) x 2);
    two_events('message.outgoing, the same text later', $in->('message.outgoing', 2, $outgoing), $in->('message.outgoing', 3, $outgoing));
    $d = '{"messageId":"' . id . '"}';
    two_events('a messageId, but no message event', $in->('phone.connected', 1, $d), $in->('phone.connected', 2, $d));
};

# Not by anything that is unsigned, nor by the signature itself.
subtest 'signed fields alone' => sub {
    fresh;
    my $body = event('message.sent');
    is(code(hook_at($zone, $body, signed($body, t => time - 1200))), 200, 'delivered');
    is(code(hook_again($zone, $body)), 200, 'signed anew');
    is(code(hook_again($zone, $body, 'X-Chatmaid-Event' => 'message.read', 'X-Chatmaid-Delivery' => 2)), 200, 'other headers');
    is(code(hook_again($zone->url('/webhooks/chatmaid?again=1'), $body)), 200, 'another query');
    is(count, 1, 'one event');

    is(code(hook_at($zone->url('/second'), $body)), 200, 'at another location');
    is(code(hook_again($zone->url('/second'), $body)), 200, 'twice');
    is(count, 2, 'is another delivery');
    my $at = sub ($server) { 'http://127.0.0.1:' . $zone->port($server) . '/webhooks/chatmaid' };
    is(code(hook_again($at->('same'), $body)), 200, 'at the same location of another server');
    is(count, 2, 'is none');
    is(code(hook_again($at->('shop'), $body)), 200, 'for another account') for 1 .. 2;
    is(count, 3, 'is another');
    is(code(hook_again($zone, $body)), 200, 'and again at the first');
    is(count, 3, 'is none');

    is(code(hook_at($zone->url('/off'), $body)), 200, 'without deduplication') for 1 .. 2;
    is(count, 5, 'all are handed on');
};

done;
