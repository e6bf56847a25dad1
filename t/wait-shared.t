# All who wait for a message in a worker share its reads and polls: who joins, who
# carries the call, and whom its answer or failure concerns.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api = sandbox;

waiting(accounts => [qw(one flight last until carrier deadline apart other fails gives time lost gone polls busy missing auth)],
    server => 'location ^~ /once/ { chatmaid_gateway /.chatmaid/; chatmaid_account gives; chatmaid_retries 0; }');


# Waits of these queries, begun by one read that is over.
sub begun ($account, $id, @queries) {
    my @waits = map { waits($account, $id, $_) } @queries ? @queries : 'wait=80';
    known($id);
    return @waits;
}

# Holds the next call for the message, and waits until it is there.
sub held ($id, %fault) { $api->fault({hold => 'before', match => {of($id)}, %fault}) }
sub is_held ()         { $api->wait_held }


subtest 'many wait for one message' => sub {
    my $id = sent_message;
    held($id);
    my @waits = map { waits('one', $id) } 1 .. 12;
    is_held;
    push @waits, map { waits('one', $id, 'wait=70&until=read') } 1 .. 12;
    get('/account');
    is(reads($id), 1, 'one read for all');
    $api->release;
    $api->wait_requests(2, of($id));
    $api->move($id, 'read');
    all_waited('all are answered', '200 read', @waits);
    cmp_ok(reads($id), '<=', 4, 'by a few polls');
};

subtest 'one call at a time' => sub {
    my $id = sent_message;
    $api->fault({delay_before => 900, match => {of($id)}, times => 0});
    my @waits = begun('flight', $id, ('wait=80') x 5);
    $api->wait_requests(4, of($id));
    push @waits, waits('flight', $id);
    $api->move($id, 'delivered');
    all_waited('all are answered', '200 delivered', @waits);
    my @calls = sort { $a->{time} <=> $b->{time} } $api->requests(of($id));
    is(scalar(grep { $calls[$_]{time} < $calls[$_ - 1]{ended} } 1 .. $#calls), 0, 'none began before the last one had ended');
    $api->clear_faults;
};

subtest 'one that comes later begins with what was seen last' => sub {
    my $id = sent_message;
    $api->move($id, 'sent');
    my ($wait) = begun('last', $id);
    held($id);
    is_held;
    my $before = reads($id);
    all_waited('its status will do', '200 sent', waits('last', $id, 'wait=80&until=sent'));
    all_waited('at its deadline as well', '200 sent timeout', waits('last', $id, 'wait=1'));
    is(reads($id), $before, 'no call for it');
    is(waited(get("/messages/$id")), '200 sent', 'an ordinary read');
    is(reads($id), $before + 1, 'is one');
    $api->move($id, 'failed');
    my $late = waits('last', $id);
    get('/account');
    $api->release;
    all_waited('it waits for the call under way', '200 failed', $wait, $late);
    is(reads($id), $before + 1, 'by that call');
};

subtest 'each has its own time' => sub {
    my $id    = sent_message;
    my @steps = qw(sent delivered read);
    my %wait; @wait{@steps} = begun('until', $id, map { "wait=80&until=$_" } @steps);
    for my $step (@steps) {
        ok(!(grep { $_->done } values %wait), "none before $step");
        $api->move($id, $step);
        all_waited($step, "200 $step", delete $wait{$step});
    }
};

subtest 'its carrier leaves' => sub {
    my $id = sent_message;
    my ($first, @others) = begun('carrier', $id, 'wait=85', ('wait=70') x 3);
    held($id);
    is_held;
    my $before = reads($id);
    $first->abort;
    $api->move($id, 'delivered');
    $api->release;
    all_waited('the others are answered', '200 delivered', @others);
    is(reads($id), $before, 'by its call');
    is(waited($first->answer), '0', 'it is not');
};

subtest 'its carrier has no more time' => sub {
    my $id = sent_message;
    held($id);
    my $first = waits('deadline', $id, 'wait=1');
    is_held;
    my $other = waits('deadline', $id);
    is(waited($first->result), '504 upstream_timeout 504', 'before anything is known');
    is($first->answer->{headers}{connection}, 'close', 'its call goes on');
    get('/account');
    $api->release;
    wait_for(sub { grep { $_->{ended} } $api->requests(of($id)) }, 'its answer');
    all_waited('which tells the other', '200 pending timeout', waits('deadline', $id, 'wait=1'));
    is(scalar(grep { $_->{connection} == $api->last->{connection} } $api->requests(of($id))), reads($id), 'by one worker');

    $other->abort;
    $id = sent_message;
    ($first) = begun('deadline', $id, 'wait=3');
    held($id);
    is_held;
    $other = waits('deadline', $id);
    my $before = reads($id);
    is(waited($first->result), '200 pending timeout', 'while it polls');
    is($first->answer->{headers}{connection}, 'close', 'its call goes on');
    $api->move($id, 'delivered');
    $api->release;
    all_waited('and answers the other', '200 delivered', $other);
    is(reads($id), $before, 'by itself');
};

subtest 'what is not the same' => sub {
    my $id   = sent_message;
    my $code = $id =~ s/^m/%6D/r;
    $api->move($id, 'sent');
    my @waits = (waits('apart', $id), waits('other', $id), waits('apart', $id, 'wait=80&x=1'), waits('apart', $code));
    my %want  = map { $_ => 1 } "$id", "$id?x=1", $code;
    wait_for(sub { $api->count(path => "/v1/messages/*") && 4 == grep { $_->{target} =~ m{/(?:$id|$code)} && $_->{ended} } $api->requests }, 'four reads');
    $api->move($id, 'read');
    all_waited('each is answered', '200 read', @waits);
};

subtest 'the first read fails' => sub {
    for my $case (['fails', {status => 404, json => {success => \0, message => ['no']}}, '404 not_found 404'],
        ['once', {status => 503}, '502 upstream_error 502'], ['once', no_answer('before'), '502 upstream_error 502'])
    {
        my ($account, $fault, $want) = @$case;
        my $id = sent_message;
        held($id, %$fault);
        my @waits = map { waits($account, $id) } 1 .. 3;
        is_held;
        push @waits, map { waits($account, $id) } 1 .. 3;
        get('/account');
        $api->move($id, 'read');
        $api->release;
        all_waited("$want: to all", $want, @waits);
        is(reads($id), 1, "$want: by one call");
        is(waited(waits($account, $id)->result), '200 read', "$want: who comes later begins anew");
    }
};

subtest 'the first read takes longer than one has' => sub {
    my $id = sent_message;
    held($id, status => 503, json => {success => \0, message => ['later'], retryAfter => 5});
    my $hasty = waits('time', $id, 'wait=3');
    is_held;
    my @others = map { waits('time', $id) } 1 .. 3;
    get('/account');
    $api->move($id, 'read');
    $api->release;
    all_waited('it is told so', '502 upstream_error 502', $hasty);
    all_waited('the others go on', '200 read', @others);
    is(reads($id), 2, 'by another call');

    $id = sent_message;
    held($id, close => 'before');
    $hasty  = waits('lost', $id, 'wait=1');
    is_held;
    @others = map { waits('lost', $id) } 1 .. 3;
    all_waited('one that has no answer in time', '504 upstream_timeout 504', $hasty);
    $api->move($id, 'read');
    $api->release;
    all_waited('the others ask again', '200 read', @others);
    is(reads($id), 2, 'once');
};

subtest 'a poll fails' => sub {
    my %fault = (busy => [{status => 503}, {status => 500, body => 'x'}, {close => 'after'}],
        polls => [{truncate => 20}, {status => 200, body => 'hello'}, {raw => "x\r\n\r\n"}]);
    for my $account (sort keys %fault) {
        my $id    = sent_message;
        my @waits = begun($account, $id, ('wait=80') x 3);
        $api->fault({%$_, match => {of($id)}}) for @{$fault{$account}};
        $api->wait_requests(4, of($id));
        ok(!(grep { $_->done } @waits), "$account: that ends no wait");
        $api->move($id, 'delivered');
        all_waited("$account: the next will do", '200 delivered', @waits);
        cmp_ok(reads($id), '<=', 7, "$account: none of them is tried again");
    }
    my %ends = (missing => [404, '404 not_found 404'], auth => [403, '502 upstream_auth 502']);
    for my $account (sort keys %ends) {
        my $id    = sent_message;
        my @waits = begun($account, $id, ('wait=80') x 3);
        my $begin = $api->count + 1;
        $api->fault({status => $ends{$account}[0], json => {success => \0, message => ['no']}, match => {of($id)}});
        all_waited("$account: ends them all", $ends{$account}[1], @waits);
        is($api->count(of($id), from => $begin), 1, "$account: by one call");
    }
};

subtest 'who is to ask leaves' => sub {
    my $id = sent_message;
    $api->fault({status => 503, json => {success => \0, message => ['later'], retryAfter => 2}, match => {of($id)}});
    my @waits = map { waits('gone', $id) } 1 .. 6;
    wait_for(sub { reads($id) }, 'the first read');
    get('/account');
    $api->move($id, 'read');
    $_->abort for @waits[0 .. 4];
    all_waited('in a pause: another one asks', '200 read', $waits[5]);
    is(reads($id), 2, 'once');
};

done;
