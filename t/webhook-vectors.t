# All vectors of t/webhook-signatures.json through HTTP, at the time that each is
# for: the field "gateway" says what comes of it, in the words of an answer's code.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Webhook;
use Digest::SHA qw(sha256_hex);
use Mojo::JSON qw(decode_json);
use MIME::Base64 qw(decode_base64);

my $vectors  = decode_json(slurp('t/webhook-signatures.json'));
my $receiver = receiver;
my %status   = (verified => 200, missing_signature => 400, malformed_signature => 400,
    timestamp_out_of_tolerance => 400, signature_mismatch => 401, invalid_json => 400, invalid_event => 400);

sub bytes ($text) { utf8::encode($text); $text }

sub body_of ($vector) {
    return decode_base64($vector->{body_base64}) if defined $vector->{body_base64};
    return bytes($vector->{body}) if defined $vector->{body};

    my $parts = $vector->{body_generator};
    my $body  = bytes($parts->{prefix} . $parts->{repeat} x $parts->{count} . $parts->{suffix});
    is(sha256_hex($body), $parts->{sha256}, "$vector->{name}: the body is made as it should be");
    return $body;
}

sub secrets ($vector) { map { bytes($_) } @{$vector->{secrets} // [$vector->{secret}]} }

# As the vector has it, spaces included.
sub request_of ($vector, $body, $path) {
    my @values = map { bytes($_) } grep { defined } @{$vector->{headers} // [$vector->{header}]};
    return join("\r\n", "POST $path HTTP/1.1", 'Host: edge', 'Connection: close', 'Content-Type: application/json',
        'Content-Length: ' . length $body, (map { "X-Chatmaid-Signature: $_" } @values),
        defined $vector->{event_header} ? "X-Chatmaid-Event: $vector->{event_header}" : (), '', '') . $body;
}

# An nginx at that time, with a location for each set of secrets and tolerance.

sub edge_at ($now, @vectors) {
    my (%path, %file, $locations);
    for my $vector (@vectors) {
        my @secrets = secrets($vector);
        my $set     = join "\0", $vector->{tolerance}, @secrets;
        next if $path{$set};

        my $n = keys %path;
        $path{$set} = "/hook$n";
        $file{"secret${n}_$_"} = "$secrets[$_]\n" for 0 .. $#secrets;
        my $files = join ' ', map { "chatmaid_webhook_secret_file %DIR%/secret${n}_$_;" } 0 .. $#secrets;
        $locations .= "location = /hook$n { chatmaid_webhook on; chatmaid_webhook_tolerance $vector->{tolerance}s;"
            . " $files proxy_pass http://127.0.0.1:%API%; }\n";
    }
    edge(clock => clock(at => $now), server => $locations, files => \%file,
        http => 'chatmaid_webhook_dedup 0; client_max_body_size 2m;');
    return sub ($vector) { $path{join "\0", $vector->{tolerance}, secrets($vector)} };
}

is(scalar @{$vectors->{vectors}}, $vectors->{count}, 'all vectors are there');

my (%at, @refused_at_start);
for my $vector (@{$vectors->{vectors}}) {
    secret($_) for grep { length >= 12 } secrets($vector);
    if ($vector->{gateway} eq 'config_error') { push @refused_at_start, $vector }
    else                                      { push @{$at{$vector->{now}}}, $vector }
}

for my $now (sort keys %at) {
    my $path = edge_at($now, @{$at{$now}});

    for my $vector (@{$at{$now}}) {
        my ($name, $gateway) = @$vector{qw(name gateway)};
        my $body   = body_of($vector);
        my $before = $receiver->count;
        my $answer = raw(request_of($vector, $body, $path->($vector)));
        my @passed = $receiver->requests(from => $before + 1);

        is(code($answer), join(' ', $status{$gateway}, $gateway eq 'verified' ? () : $gateway), $name);
        is(scalar @passed, $gateway eq 'verified' ? 1 : 0, "$name: handed on, or not");
        ok($passed[0]{body} eq $body, "$name: byte for byte") if @passed;
    }
}

for my $vector (@refused_at_start) {
    my @secrets = secrets($vector);
    my ($code, $said) = edge_t(files => {map { ("s$_" => "$secrets[$_]\n") } 0 .. $#secrets},
        webhook => join ' ', map { "chatmaid_webhook_secret_file %DIR%/s$_;" } 0 .. $#secrets);
    is($code, 1, "$vector->{name}: refused at start");
    like($said, qr/\[emerg\].*"chatmaid_webhook_secret_file"/, "$vector->{name}: says so");
}

done;
