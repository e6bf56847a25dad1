# GET messages/ID?wait=: what is asked for, when it is answered, and with what.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox;
my $nginx = waiting(accounts => [map { "account$_" } 0 .. 9], server => <<'END');
    location ^~ /short/  { chatmaid_gateway /.chatmaid/; chatmaid_wait_max 1s; }
    location ^~ /part/   { chatmaid_gateway /.chatmaid/; chatmaid_wait_max 700ms; }
    location ^~ /none/   { chatmaid_gateway /.chatmaid/; chatmaid_wait_max 0; }
    location ^~ /hasty/  { chatmaid_gateway /.chatmaid/; chatmaid_timeout 1s; chatmaid_retries 0; }
    location ^~ /phones/ { chatmaid_gateway /.chatmaid/; chatmaid_scope phone_numbers:read; }
END

my $start = time;

sub timeout ($one) { $one->{headers}{'chatmaid-wait'} // '' }

sub timed ($path, %option) {
    my $since  = time;
    my $answer = request($option{method} // 'GET', $path);
    return ($answer, time - $since);
}

sub closed ($answer) { lc($answer->{headers}{connection} // '') eq 'close' }

# Asked for after it was moved.
sub seen_again ($one) { $api->count(path => "/v1/messages/$one->{id}", from => $one->{from}) }


subtest 'what is asked for' => sub {
    my $id = sent_message;
    my %wrong = (
        'wait=' => qr/"wait"/, wait => qr/"wait"/, 'wait=x' => qr/"wait"/, 'wait=1.5' => qr/"wait"/, 'wait=-1' => qr/"wait"/,
        'wait=+1' => qr/"wait"/, 'wait=1e1' => qr/"wait"/, 'wait=1s' => qr/"wait"/, 'wait=0x1' => qr/"wait"/, 'wait=%201' => qr/"wait"/,
        'wait=1%00' => qr/"wait"/, 'wait=1,5' => qr/"wait"/, 'wait==1' => qr/"wait"/, 'wait=%D9%A1' => qr/"wait"/,
        'wait=1&until=' => qr/"until"/, 'wait=1&until' => qr/"until"/, 'wait=1&until=pending' => qr/"until"/, 'wait=1&until=failed' => qr/"until"/,
        'wait=1&until=Sent' => qr/"until"/, 'wait=1&until=sent,read' => qr/"until"/, 'wait=1&until=sentx' => qr/"until"/, 'wait=1&until=sen' => qr/"until"/,
        'wait=0&until=x' => qr/"until"/, 'until=sent' => qr/"until".*"wait"/, 'until=' => qr/"until"/, 'x=1&until=sent' => qr/"until".*"wait"/,
        'wait=1&wait=1' => qr/"wait".*more than once/, 'wait=0&wait=1' => qr/"wait".*more than once/, 'wait=1&x=1&w%61it=2' => qr/"wait".*more than once/,
        'wait=1&until=sent&until=sent' => qr/"until".*more than once/, 'wait=1&until=sent&until=read' => qr/"until".*more than once/,
    );
    for my $query (sort keys %wrong) {
        my $answer = get("/messages/$id?$query");
        is(waited($answer), '400 invalid_request 400', "$query: refused");
        like($answer->{json}{detail}, $wrong{$query}, "$query: by name");
    }
    is(request(HEAD => "/messages/$id?wait=x")->{status}, 400, 'a HEAD as well');
    is(reads($id), 0, 'Chatmaid was not asked');
    is(waited(get('/phones/messages/x?wait=x')), '404 not_found 404', 'no such endpoint');
    is(waited(get(url('/phones/messages/x?wait=x'))), '403 scope_denied 403', 'the scope comes first');
};

subtest 'what goes on' => sub {
    my $id = sent_message;
    my %query = (
        'wait=0' => '', 'wait=00' => '', 'wait=0&until=read' => '', 'until=read&wait=0' => '', 'wait=0&' => '', '&wait=0' => '',
        'wait=0&x=1' => '?x=1', 'x=%2B1&wait=0&y' => '?x=%2B1&y', 'x=1&until=sent&wait=0' => '?x=1', '%77ait=%30&until=%73ent&z=' => '?z=',
        'x=1&&y=2&' => '?x=1&&y=2&', '&' => '?&', 'waits=1' => '?waits=1', 'Wait=1' => '?Wait=1', 'x=wait' => '?x=wait', 'wai=1&t=2' => '?wai=1&t=2',
    );
    for my $query (sort keys %query) {
        is(waited(get("/messages/$id?$query")), '200 pending', "$query: a read");
        is($api->last->{target}, "/v1/messages/$id$query{$query}", "$query: of this");
    }
    my $before = reads($id);
    my ($head, $took) = timed("/messages/$id?wait=30&until=read", method => 'HEAD');
    is($head->{status}, 200, 'HEAD');
    is(timeout($head), '', 'is no wait');
    is($api->last->{target}, "/v1/messages/$id", 'but a read');
    is(waited(get("/v1/messages/$id?wait=30&until=x")), '200', "Chatmaid's own face");
    is($api->last->{target}, "/v1/messages/$id?wait=30&until=x", 'passes it on');
    is(reads($id), $before + 2, 'one call each');
    is(waited(get('/messages?wait=30')), '200', 'a list');
    is($api->last->{target}, '/v1/messages?wait=30', 'passes it on');
    $api->move($id, 'sent');
    is(waited(get("/messages/$id?wait=5&until=sent&x=%2B1")), '200 sent', 'a wait');
    is($api->last->{target}, "/v1/messages/$id?x=%2B1", 'passes on what is not its own');
};

subtest 'at once where it has got so far' => sub {
    my %reached = (
        pending => [], sent => ['sent'], delivered => [qw(sent delivered)], read => [qw(sent delivered read)], failed => [qw(sent delivered read)],
    );
    for my $status (sort keys %reached) {
        my $id = sent_message;
        $api->move($id, $status);
        for my $until (@{$reached{$status}}) {
            my $answer = get("/messages/$id?wait=60&until=$until");
            is(waited($answer), "200 $status", "$status: until $until");
            is(timeout($answer), '', "$status: in time");
            is(reads($id), 1, "$status: by one call") if $until eq 'sent';
        }
    }
    my $id = sent_message;
    $api->move($id, 'delivered');
    my $wait = get("/messages/$id?wait=60");
    is(waited($wait), '200 delivered', 'without until: delivered');
    is($wait->{body}, get("/messages/$id")->{body}, 'as a read has it');
    is($wait->{headers}{'content-type'}, 'application/json', 'as JSON');
    like($wait->{headers}{'x-request-id'}, qr/\A[0-9a-f]{32}\z/, 'with its request ID');
};

subtest 'when it gets so far' => sub {
    my @cases = (
        [sent => ['sent']], [sent => ['delivered']], [sent => ['read']], [sent => ['failed']], [delivered => [qw(sent delivered)]], [delivered => ['read']],
        [delivered => [qw(sent failed)]], [read => [qw(sent delivered read)]], [read => [qw(delivered failed)]], [undef, [qw(sent delivered)]],
    );
    my @waits;
    for my $i (0 .. $#cases) {
        my ($until, $path) = @{$cases[$i]};
        my $one = {id => sent_message, from => 1, path => [@$path], name => ($until // 'no until') . ": @$path"};
        $one->{wait} = later(GET => url("/account$i/messages/$one->{id}?wait=80" . ($until ? "&until=$until" : '')));
        push @waits, $one;
    }
    while (my @left = grep { @{$_->{path}} } @waits) {
        wait_for(sub { !grep { !seen_again($_) } @left }, 'each to be asked for');
        for my $one (@left) {
            ok(!$one->{wait}->done, "$one->{name}: not before $one->{path}[0]");
            $api->move($one->{id}, $one->{to} = shift @{$one->{path}});
            $one->{from} = $api->count + 1;
        }
    }
    for my $one (@waits) {
        my $answer = $one->{wait}->result;
        is(waited($answer), "200 $one->{to}", "$one->{name}: answered");
        is(timeout($answer), '', "$one->{name}: in time");
        cmp_ok(reads($one->{id}), '>=', 2, "$one->{name}: by asking");
    }
};

subtest 'the time of a wait' => sub {
    my $id = sent_message;
    for my $case (["/messages/$id?wait=1", 1], ["/short/messages/$id?wait=99", 1], ["/short/messages/$id?wait=99999999999999999999999", 1],
        ["/part/messages/$id?wait=1", 0.7], ["/messages/$id?wait=0002", 2])
    {
        my ($path, $time) = @$case;
        my ($answer, $took);
        for (1 .. 20) {                 # again where a read was under way at the end
            ($answer, $took) = timed($path =~ m{^/messages} ? $path : url($path));
            last if $answer->{status} != 504 && !closed($answer);
        }
        is(waited($answer), '200 pending timeout', "$path: as it is");
        is(timeout($answer), 'timeout', "$path: by its deadline");
        cmp_ok($took, '>=', $time - 0.01, "$path: not before");
        cmp_ok($took, '<', $time + at_most(2), "$path: not long after");
        ok(!closed($answer), "$path: its connection is kept");
    }
    my ($answer, $took) = timed(url("/none/messages/$id?wait=9"));
    is(waited($answer), '200 pending', 'with chatmaid_wait_max 0 there is no wait');

    $api->fault({delay => 2500, match => {path => "/v1/messages/$id"}});
    ($answer, $took) = timed(url("/hasty/messages/$id?wait=4"));
    is(waited($answer), '200 pending timeout', 'chatmaid_timeout does not end it');
    is(waited(get(url("/hasty/messages/$id"))), '504 upstream_timeout 504', 'as it does a read') if $api->fault({delay => 2500});
};

subtest 'a status that nobody knows' => sub {
    my %odd = (
        other => {status => 'queued'}, none => {}, null => {status => undef}, number => {status => 3}, upper => {status => 'DELIVERED'}, list => {status => ['read']},
    );
    for my $name (sort keys %odd) {
        my $id = sent_message;
        $api->fault({status => 200, json => {success => \1, data => {id => $id, %{$odd{$name}}}}, times => 0, match => {path => "/v1/messages/$id"}});
        my $answer = get("/messages/$id?wait=1&until=sent");
        is($answer->{status} . timeout($answer), '200timeout', "$name: does not end a wait");
        is($answer->{json}{id}, $id, "$name: is passed on");
    }
};

subtest 'what cannot be read' => sub {
    is(waited(get('/messages/nobody?wait=30')), '404 not_found 404', 'no such message');
    my %fault = (
        '400 invalid_request 400' => {status => 400, json => {success => \0, message => ['what?']}},
        '502 upstream_auth 502'   => {status => 401, json => {success => \0, message => ['who?']}},
        '502 upstream_error 502'  => {status => 500, body => 'oops'},
        '502 upstream_invalid_response 502' => {status => 200, body => 'hello'},
    );
    for my $want (sort keys %fault) {
        my $id = sent_message;
        $api->fault({%{$fault{$want}}, match => {path => "/v1/messages/$id"}});
        my ($answer, $took) = timed("/messages/$id?wait=30");
        is(waited($answer), $want, "$want: answered as a read");
        is(reads($id), 1, "$want: by one call");
    }
    my $id = sent_message;
    $api->fault({status => 503, match => {path => "/v1/messages/$id"}, times => 2});
    $api->move($id, 'read');
    is(waited(get("/messages/$id?wait=30")), '200 read', 'tried again as a read');
    is(reads($id), 3, 'twice');

    $id = sent_message;
    $api->fault({hold => 'before', match => {path => "/v1/messages/$id"}});
    my ($answer, $took) = timed("/messages/$id?wait=1");
    is(waited($answer), '504 upstream_timeout 504', 'no answer in time');
    like($answer->{json}{detail}, qr/within the wait/, 'says so');
    is($answer->{headers}{connection}, 'close', 'its call goes on');
    cmp_ok($took, '<', 1 + at_most(2), 'soon after its time');
    $api->release;
};

subtest 'chatmaid_wait_max' => sub {
    my %wrong = ('chatmaid_wait_max;' => qr/invalid number of arguments in "chatmaid_wait_max"/, 'chatmaid_wait_max soon;' => qr/"chatmaid_wait_max" directive invalid value/,
        'chatmaid_wait_max -1;' => qr/"chatmaid_wait_max" directive invalid value/, 'chatmaid_wait_max 1s; chatmaid_wait_max 2s;' => qr/"chatmaid_wait_max" directive is duplicate/);
    for my $lines (sort keys %wrong) {
        my ($code, $said) = nginx_t(gateway => $lines);
        is($code, 1, "$lines refused");
        like($said, $wrong{$lines}, "$lines says why");
    }
    my ($code) = nginx_t(http => 'chatmaid_wait_max 10m;', server => 'chatmaid_wait_max 5m;', gateway => 'chatmaid_wait_max 30s;');
    is($code, 0, 'at each level');
};

note(sprintf '%.1f s', time - $start);
done;
