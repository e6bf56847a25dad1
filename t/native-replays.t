# One operation over both faces: the same keys, the same records; each face's
# answer byte for byte again.  The sandbox's own dedup is off.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::JSON qw(decode_json encode_json);

my $api   = sandbox(dedup => 0);
my $redis = redis_server;
my $nginx;


# The native face, and the simplified one, with its own names.
sub native ($m, @headers) { $nginx->post('/v1/messages/send', $m, @headers) }
sub simple ($m, @headers) {
    return $nginx->post('/send', {from => $m->{fromPhoneId}, to => $m->{to}, text => $m->{content}}, @headers);
}
my %face = (native => \&native, simple => \&simple);

sub same_answer ($again, $first, $name) {
    is($again->{status}, $first->{status}, "$name: the status");
    ok($again->{body} eq $first->{body}, "$name: byte for byte");
    is($again->{headers}{'content-type'}, $first->{headers}{'content-type'}, "$name: the type");
    is($again->{headers}{'idempotent-replayed'}, 'true', "$name: a replay");
    is($again->{headers}{'idempotency-key'}, $first->{headers}{'idempotency-key'}, "$name: the key");
}

# An answer that no two programs would write alike, and its data.
my $odd  = qq({ "data":{"z":1.50 ,"id":"msg_odd","status":"sent", "u":"\\u0047r\\u00fc\\/"},\n "success" : true, "more":{"b":[ ],"a":null} }\n);
my $data = {z => 1.5, id => 'msg_odd', status => 'sent', u => "Gr\x{fc}/"};

for my $store (qw(zone redis)) {
    $nginx = nginx(name => $store, workers => 2, http => 'chatmaid_retries 0;' . ($store eq 'redis' ? 'chatmaid_redis ' . $redis->url . ' timeout=30s;' : ''),
        gateway => 'chatmaid_sender +15550100001;', server => <<'END');
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_wait 0; }
END
    over_both($store);
}

sub over_both ($store) {

subtest "$store: replays" => sub {
    for my $case (['native', 'simple'], ['simple', 'native']) {
        my ($here, $there) = @$case;
        for my $answer (undef, 200, 201, 202) {
            my ($k, $m) = (key, native_message);
            my $name = "$here first, " . ($answer // 'as usual');
            $api->fault({status => $answer, body => $odd}) if $answer;
            my $first = $face{$here}->($m, 'Idempotency-Key' => $k);
            my $sends = $api->sends;
            like($first->{status}, qr/^20[012]$/, "$name: sent");
            is($first->{headers}{'idempotent-replayed'}, undef, "$name: no replay");
            same_answer($face{$here}->($m, 'Idempotency-Key' => $k), $first, $name);

            my @other = map { $face{$there}->($m, 'Idempotency-Key' => $k) } 1, 2;
            my ($native, $simple) = $here eq 'native' ? ($first, $other[0]) : ($other[0], $first);
            is($other[0]{headers}{'idempotent-replayed'}, 'true', "$name, then $there: a replay");
            same_answer($other[1], $other[0], "$name, then $there");
            is_deeply($native->{json}{data}, $simple->{json}, "$name: both faces have the same message");
            like($native->{body}, qr/"success" ?: ?true\b/, "$name: the native one in an envelope");
            if ($answer) {
                is_deeply($simple->{json}, $data, "$name: Chatmaid's");
                is($native->{status}, $answer, "$name: the native one has Chatmaid's status");
                ok($native->{body} eq $odd, "$name: and its bytes") if $here eq 'native';
            }
            is($api->sends, $sends, "$name: one call");

            $nginx->reload;
            same_answer($face{$here}->($m, 'Idempotency-Key' => $k), $first, "$name, over a reload");
        }
    }
};

subtest "$store: keys" => sub {
    my ($k, $m) = (key, native_message);
    my $first = native({%$m, idempotencyKey => $k});
    is($first->{headers}{'idempotency-key'}, $k, "the body's key");
    isnt(decode_json($api->last->{body})->{idempotencyKey}, $k, 'is not the one Chatmaid gets');
    same_answer(native($m, 'Idempotency-Key' => $k), $first, 'as a header');
    same_answer(native({%$m, idempotencyKey => $k}, 'Idempotency-Key' => qq("$k")), $first, 'as both');
    is(simple($m, 'Idempotency-Key' => $k)->{headers}{'idempotent-replayed'}, 'true', 'on the other face');
    is(native(native_message, 'Idempotency-Key' => $k)->{status}, 422, 'another message');
    is(told(simple(native_message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'another message on the other face');
    is(native(encode_json($m) =~ s/,/ ,\n/gr, 'Idempotency-Key' => $k)->{headers}{'idempotent-replayed'}, 'true', 'in another spelling');
    is(native({to => $m->{to}, content => $m->{content}}, 'Idempotency-Key' => $k)->{headers}{'idempotent-replayed'}, 'true', 'by the default sender');

    $m = native_message;
    $first = native($m);
    like($first->{headers}{'idempotency-key'}, qr/^auto-[0-9a-f]{64}$/, 'a keyless send');
    same_answer(native($m), $first, 'again');
    is(simple($m)->{json}{id}, $first->{json}{data}{id}, 'on the other face');
    is(made($m), 1, 'one message');
};

subtest "$store: in flight and ambiguous" => sub {
    my ($k, $m) = (key, native_message);
    $api->fault({hold => 'before'});
    my $owner = $nginx->later(POST => '/v1/messages/send', $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    my @waiters = map { $nginx->later(POST => $_->[0], $_->[1], 'Idempotency-Key' => $k) }
        ['/v1/messages/send', $m], ['/send', {to => $m->{to}, text => $m->{content}}];
    is($nginx->post($nginx->url('/impatient/v1/messages/send'), $m, 'Idempotency-Key' => $k)->{status}, 409, 'one that does not wait');
    $api->release;
    my $first = $owner->result;
    is($first->{status}, 201, 'the owner');
    same_answer($waiters[0]->result, $first, 'a waiter');
    is_deeply($waiters[1]->result->{json}, $first->{json}{data}, 'a waiter on the other face');
    is(made($m), 1, 'one message');

    for my $case (['native', 'simple'], ['simple', 'native']) {
        ($k, $m) = (key, native_message);
        $api->fault(no_answer('before'));
        is($face{$case->[0]}->($m, 'Idempotency-Key' => $k)->{status}, 502, "$case->[0]: no answer");
        is($face{$case->[1]}->(native_message, 'Idempotency-Key' => $k)->{status}, 422, "$case->[1]: another message");
        is($face{$case->[1]}->($m, 'Idempotency-Key' => $k)->{status}, 201, "$case->[1]: takes over");
        my @keys = map { decode_json($_->{body})->{idempotencyKey} } ($api->requests(path => '/v1/messages/send'))[-2, -1];
        is($keys[0], $keys[1], "$case->[1]: with the same key");
    }
};

}

done;
