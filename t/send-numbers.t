# Numbers in members that are Chatmaid's to judge: they go on in their own digits,
# and two sends are one where their values are, however they are written.

use Chatmaid::Test;
use Digest::SHA qw(sha256_hex);

my $api = sandbox(dedup => 0);
nginx(gateway => 'chatmaid_sender +15550100001;', server => <<'END');
        location ^~ /keyless/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_window 1h; }
        location ^~ /none/    { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency off; }
END

my $serial = 0;
my $text;

# A message with this in it, on either face.
sub with ($value, $at = '/chatmaid/send') {
    my ($to, $content) = ('"to":"+15550100099"', $at =~ /v1/ ? 'content' : 'text');
    return "{\"ref\":$value,\"$content\":\"$text\",$to}";
}

sub sent ($value, $at = '/chatmaid/send', @header) {
    my $answer = post(url($at), with($value, $at), @header);
    return join ' ', $answer->{status}, $answer->{json}{code} // (), $answer->{headers}{'idempotent-replayed'} ? 'replayed' : ();
}

sub got () { ($api->last->{body} =~ s/"idempotencyKey":"[0-9a-f]{64}",//r) }

my @numbers = qw(0 -0 1 -1 1.0 1e0 1E+2 0.1 0.10 1.50 -2.5e-3 100 1e400 -1e-400 18446744073709551615 18446744073709551616 -9223372036854775809
    12345678901234567890123 3.141592653589793238462643 9007199254740993 1e19 1e18 123456789012345678901234567890e-10);

subtest 'digits' => sub {
    for my $number (@numbers, map { '9' x $_ } 18, 19, 20, 400) {
        $text = 'Digits ' . ++$serial;
        for my $at ('/chatmaid/send', '/none/send', '/chatmaid/v1/messages/send') {
            is(sent($number, $at, 'Idempotency-Key' => "digits-$serial-" . $at =~ tr/a-z//cdr), '201', "$number at $at");
            is(got, "{\"content\":\"$text\",\"fromPhoneId\":\"+15550100001\",\"ref\":$number,\"to\":\"+15550100099\"}", "$number: goes on as it is");
        }
    }
    $text = 'Deep';
    is(sent('{"z":[0.1,{"b":1E2,"a":-0.0}],"a":18446744073709551616}'), '201', 'deep down');
    like(got, qr/\Q"ref":{"a":18446744073709551616,"z":[0.1,{"a":-0.0,"b":1E2}]}/, 'in their own digits too');
};

subtest 'equal values' => sub {
    my @equal = ([qw(1 1.0 1e0 10e-1 1.000)], [qw(0 -0 0.0 0e7 -0.0E-9)], [qw(100 1e2 100.0 0.1E+3)], [qw(0.1 1e-1 0.10 10E-2)], [qw(18446744073709551616 18446744073709551616.0 1844674407370955161.6e1)],
        [qw(1e400 10e399 0.1E401)], [qw(-1.5 -15e-1 -1.50)], [qw(1e18 1000000000000000000)], [qw(1e19 10000000000000000000)], ['[1,{"a":2.0}]', '[1.0,{"a":2}]', '[ 1e0, {"\u0061":2e0}]']);
    for my $equal (@equal) {
        $text = 'Equal ' . ++$serial;
        my ($first, @others) = @$equal;
        my @key = ('Idempotency-Key' => "equal-$serial");
        is(sent($first, '/chatmaid/send', @key), '201', "$first first");
        my $made = $api->sends;
        is(sent($_, '/chatmaid/send', @key), '201 replayed', "$_ is $first") for @others;
        is(sent($_, '/chatmaid/v1/messages/send', @key), '201 replayed', "$_ is $first on the other face") for @others;
        is(sent($first, '/keyless/send'), '201', "$first without a key");
        is(sent($_, '/keyless/send'), '201 replayed', "$_ is $first without a key") for @others;
        is($api->sends, $made + 1, "$first: no more are sent");
    }
};

subtest 'other values' => sub {
    my @other = ([qw(1 2)], [qw(0.1 0.10000000000000001)], [qw(18446744073709551616 18446744073709551617)], [qw(1e400 1e401)], [qw(1e400 -1e400)], [qw(1 "1")], [qw(0 false)], [qw(9007199254740992 9007199254740993)], [qw(1e-400 0)], [qw(null 0)]);
    for my $other (@other) {
        $text = 'Other ' . ++$serial;
        my @key = ('Idempotency-Key' => "other-$serial");
        is(sent($other->[0], '/chatmaid/send', @key), '201', "$other->[0] first");
        is(sent($other->[1], '/chatmaid/send', @key), '422 idempotency_key_reused', "$other->[1] is another");
    }
};

# As docs/protocol.md has it: integers as ever, all else in its one form.
subtest 'fingerprints' => sub {
    my %form = (1 => 1, '1.0' => 1, 100 => 100, '1e2' => 100, 0 => 0, '-0' => 0, '0.5' => '5e-1', '18446744073709551616' => '18446744073709551616', '1e19' => '1e19', '10000000000000000000' => '1e19', '1.25e400' => '125e398',
        9223372036854775807 => 9223372036854775807, '-1.50' => '-15e-1');
    for my $number (sort keys %form) {
        $text = 'Form ' . ++$serial;
        is(sent($number, '/chatmaid/send', 'Idempotency-Key' => "form-$serial"), '201', "$number goes on");
        my ($key) = $api->last->{body} =~ /"idempotencyKey":"(\w+)"/;
        my $fingerprint = sha256_hex("{\"content\":\"$text\",\"fromPhoneId\":\"+15550100001\",\"ref\":$form{$number},\"to\":\"+15550100099\"}");
        is($key, sha256_hex(netstrings('chatmaid-1', 'test:', '', "form-$serial", $fingerprint)), "$number: as $form{$number}");
    }
};

done;
