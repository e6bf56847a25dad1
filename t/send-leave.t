# A caller that goes away: before its request is whole nothing is sent, from then
# on its send goes on to its end.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);

debug_logs;

my $api   = sandbox;
my $nginx = nginx(http => 'chatmaid_retries 0;', gateway => 'chatmaid_sender +15550100001;');
my ($worker) = $nginx->workers;

# What the access log says of a caller that was gone before its answer: a reset
# is known by then, after a mere close the answer may still be written.
my %gone = map { $_ => qr/^(?:20[01]|499)$/ } qw(reset close);

# A request whose access log line is known by its case, and its status there.
sub head ($case, @lines) {
    return join "\r\n", "POST /chatmaid/send?case=$case HTTP/1.1", 'Host: gateway', 'Content-Type: application/json',
        @lines, '', '';
}

sub body ($case) { encode_json({to => '+15550100099', text => $case}) }

sub whole ($case, $method = 'POST') {
    my $body = body($case);
    return "GET /chatmaid/account?case=$case HTTP/1.1\r\nHost: gateway\r\n\r\n" if $method eq 'GET';
    return head($case, 'Content-Length: ' . length $body) . $body;
}

sub logged ($case) {
    wait_for(sub { $nginx->access_log =~ /\?case=$case HTTP\S+ (\d+)/ ? $1 : 0 }, "the log line of $case");
}

sub texts () { map { $_->{content} } $api->messages }

sub alive ($name) {
    is(post('/send', {to => '+15550100099', text => "after $name"})->{status}, 201, "$name: the next send");
    is_deeply([$nginx->workers], [$worker], "$name: by the same worker");
}


subtest 'before the body is whole' => sub {
    my $text  = body('early');
    my $half  = substr $text, 0, 20;
    my $size  = 'Content-Length: ' . length $text;
    my $chunk = 'Transfer-Encoding: chunked';
    my $in    = sub ($bytes) { sprintf "%x\r\n%s\r\n", length $bytes, $bytes };
    my %early = (
        no_body       => [$size],
        half          => [$size, $half],
        all_but_one   => [$size, substr $text, 0, -1],
        pieces        => [$size, split //, $half],
        chunked       => [$chunk, $in->($half)],
        no_last_chunk => [$chunk, $in->($half), $in->(substr $text, 20)],
        within_a_size => [$chunk, $in->($half), '1'],
        expect        => ["$size\r\nExpect: 100-continue"],
        large         => ['Content-Length: 900000', '{"to":"', 'x' x 100_000],
    );
    for my $how (qw(close reset)) {
        for my $name (sort keys %early) {
            my ($line, @pieces) = @{$early{$name}};
            my $known = sub { wait_for(sub { $nginx->error_log =~ /\?case=${name}_$how/ }, 'the head') };
            raw([head("${name}_$how", $line), $known, @pieces], abort => $how);
        }
    }
    for my $name (map { ("${_}_close", "${_}_reset") } sort keys %early) {
        # 500 is nginx's word for a caller to whom it could not say 100.
        like(logged($name), $name =~ /^expect/ ? qr/^(?:4\d\d|500)$/ : qr/^4\d\d$/, "$name: seen and ended");
    }
    is($api->count, 0, 'nothing was sent');
    alive('early');
};

subtest 'within the head' => sub {
    my $before = $api->count;
    raw(whole('head'), abort_after => $_, abort => $_ % 2 ? 'close' : 'reset') for 1, 10, 40, 70;
    alive('head');
    is($api->count, $before + 1, 'nothing else was sent');
};

subtest 'while Chatmaid has the request' => sub {
    for my $how (sort keys %gone) {
        for my $when (qw(before after)) {
            my $case = "held_${when}_$how";
            $api->fault({hold => $when});
            raw([whole($case), sub { $api->wait_held }], abort => $how);
            alive($case) if $when eq 'before';
            is(scalar(grep { $_ eq $case } texts), $when eq 'after' ? 1 : 0, "$case: held");
            is($api->release, 1, "$case: released");
            like(logged($case), $gone{$how}, "$case: log");
            is(scalar(grep { $_ eq $case } texts), 1, "$case: one message");
            my ($seen) = grep { ($_->{body} // '') =~ /"$case"/ } $api->requests;
            ok(!$seen->{aborted}, "$case: the call was not given up");
            alive($case);
        }
    }
};

subtest 'while Chatmaid fails' => sub {
    my %fault = (status => {status => 503}, close => no_answer('after'), garbage => {raw => "x\r\n\r\n"},
        cut => {truncate => 5}, big => {oversize => 5 << 20});
    for my $name (sort keys %fault) {
        $api->fault({%{$fault{$name}}, hold => 'before'});
        raw([whole("fails_$name"), sub { $api->wait_held }], abort => 'reset');
        $api->release;
        like(logged("fails_$name"), qr/^(?:502|499)$/, "$name: log");
    }
    alive('fails');
};

subtest 'a read' => sub {
    for my $how (qw(close reset)) {
        $api->fault({hold => 'after'});
        raw([whole("read_$how", 'GET'), sub { $api->wait_held }], abort => $how);
        $api->release;
        like(logged("read_$how"), $gone{$how}, "$how: log");
    }
    alive('a read');
};

subtest 'a caller that only stops writing' => sub {
    is(raw(whole('half_open'), abort => 'half')->{status}, 201, 'is answered');
    $api->fault({hold => 'before'});
    my $held = raw([whole('half_held'), sub { $api->wait_held; $api->release }], abort => 'half');
    is($held->{status}, 201, 'also when that takes time');
    is($held->{json}{content}, 'half_held', 'with the message');
};

subtest 'after the answer' => sub {
    my $http = client(keepalive => 1);
    is($http->post('/send?case=kept', {to => '+15550100099', text => 'kept'})->{status}, 201, 'answered');
    undef $http;
    is(raw([whole('answered'), sub { logged('answered') }], abort => $_)->{status}, 0, "unread: $_") for qw(close reset);
    is(logged('answered'), 201, 'answered');
    alive('after');
};

subtest 'many at once' => sub {
    my ($before, $many) = ($api->made, 40);
    $api->fault({hold => 'before', times => $many});
    raw([whole("many_$_"), sub { $api->wait_held($_) }], abort => $_ % 2 ? 'close' : 'reset') for 1 .. $many;
    is($api->release, $many, 'all were on their way');
    logged("many_$_") for 1 .. $many;
    is($api->made, $before + $many, 'all were made');
    is(scalar(grep { /^many_/ } texts), $many, 'each once');
    alive('many');
};

done;
