# Callers that leave while they wait, by HTTP/1 and HTTP/2: they cost nothing more,
# and those who stay are answered.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Http2;
use List::Util qw(shuffle);

my $api = sandbox;

my $nginx = waiting(accounts => [qw(idle flight read pause held one two storm last)],
    server => "listen 127.0.0.1:%PORT:h2% http2;\nhttp2_max_concurrent_streams 500;\nlocation = /status { stub_status; }\n");
my ($worker) = $nginx->workers;


sub path ($account, $id, $query = 'wait=80') { "/$account/messages/$id?$query" }

sub start_read ($h2, $path) {
    my ($id, $head) = opened($h2, GET => $path);
    put($h2, $head);
    return $id;
}

# Connections at work, this question's left out.
sub active () { get(url('/status'))->{body} =~ /Writing: (\d+)/ ? $1 - 1 : die 'no status' }

# A wait whose read is over, by either protocol; leave() ends it as told.
sub begin ($kind, $account, $id) {
    my $before = reads($id);
    my $wait;
    if ($kind eq 'h1') {
        $wait = {wait => later(GET => url(path($account, $id)))};
    } else {
        $wait = {h2 => connect_h2($nginx->port('h2'))};
        $wait->{id} = start_read($wait->{h2}, path($account, $id));
    }
    wait_for(sub { my @calls = $api->requests(of($id)); @calls > $before && !grep { !$_->{ended} } @calls }, 'its read') unless $before;
    return $wait;
}

sub leave ($wait, $how) {
    return $wait->{wait}->abort if $wait->{wait};
    return unless $wait->{h2}{socket}->opened;
    $how eq 'reset' ? put($wait->{h2}, reset_($wait->{id})) : drop($wait->{h2}, $how);
}

my @ways = (['h1', 'close'], ['h2', 'reset'], ['h2', 'close']);

sub alone ($name) { ok(wait_for(sub { !active }, "$name: nobody is left"), "$name: nobody is left") }


subtest 'while nothing is under way' => sub {
    for my $way (@ways) {
        my $id   = sent_message;
        my $wait = begin($way->[0], 'idle', $id);
        leave($wait, $way->[1]);
        alone("@$way");
        like($nginx->access_log, qr/$id\?wait=80 HTTP\S+ 499 /, "@$way: seen at once");
        my $before = reads($id);
        my $other  = sent_message;
        get(url(path('last', $other, 'wait=2')));
        cmp_ok(reads($other), '>=', 2, "@$way: another one is asked for");
        is(reads($id), $before, "@$way: this one no more");
    }
};

subtest 'while it is asked for' => sub {
    for my $way (@ways) {
        my $id   = sent_message;
        my $wait = begin($way->[0], 'flight', $id);
        $api->fault({hold => 'before', match => {of($id)}});
        $api->wait_held;
        my $before = reads($id);
        leave($wait, $way->[1]);
        get('/account');
        $api->release;
        alone("@$way");
        is(reads($id), $before, "@$way: it was the last call");
    }
};

subtest 'while its first read is under way' => sub {
    for my $way (@ways) {
        my $id = sent_message;
        $api->fault({hold => 'before', match => {of($id)}});
        my $wait = $way->[0] eq 'h1' ? {wait => later(GET => url(path('read', $id)))} : do {
            my $h2 = connect_h2($nginx->port('h2'));
            +{h2 => $h2, id => start_read($h2, path('read', $id))} };
        $api->wait_held;
        leave($wait, $way->[1]);
        get('/account');
        $api->release;
        alone("@$way");
        is(reads($id), 1, "@$way: it was the only call");
    }
};

subtest 'in a pause before its next try' => sub {
    for my $way (@ways) {
        my $id = sent_message;
        $api->fault({status => 503, json => {success => \0, message => ['later'], retryAfter => 2}, match => {of($id)}, times => 0});
        my $wait = begin($way->[0], 'pause', $id);
        get('/account');
        leave($wait, $way->[1]);
        alone("@$way");
        is(reads($id), 1, "@$way: there is none");
    }
};

subtest 'while its account is held back' => sub {
    for my $way (@ways) {
        my $id = sent_message;
        $api->fault({status => 429, json => {success => \0, message => ['slow down'], retryAfter => 2}, match => {of($id)}, times => 0});
        my $wait = begin($way->[0], 'held', $id);
        get('/account');
        leave($wait, $way->[1]);
        alone("@$way");
        is(reads($id), 1, "@$way: no other call");
        $api->clear_faults;
        is(waited(get(url(path('held', $id, 'wait=20&until=sent')))), '200 sent', "@$way: another one waits") if $api->move($id, 'sent');
    }
};

subtest 'others stay' => sub {
    my $id    = sent_message;
    my @go    = map { begin($_->[0], 'one', $id) } @ways;
    my @stay  = map { begin('h1', 'one', $id) } 1 .. 3;
    my $h2    = connect_h2($nginx->port('h2'));
    my @both  = map { start_read($h2, path('one', $id)) } 1 .. 2;
    get('/account');
    leave($go[$_], $ways[$_][1]) for 0 .. 2;
    put($h2, reset_($both[0]));
    ok(wait_for(sub { active == 4 }, 'four to be left'), 'those who go have gone');
    $api->move($id, 'delivered');
    is(join(' ', map { waited($_->{wait}->result) } @stay), join(' ', ('200 delivered') x 3), 'the others are answered');
    my $answer = answer($h2, $both[1]);
    is($answer->{status}, 200, "another stream of a connection as well");
    is($answer->{json}{status}, 'delivered', 'with the message');
    alone('the end');
};

subtest 'many come and go' => sub {
    my @ids   = map { sent_message } 1 .. 6;
    my $many  = volume(2000, 60);
    my $begin = $api->count + 1;
    $api->fault({delay_before => 20, match => {path => '/v1/messages/*'}, times => 0});
    my $h2 = connect_h2($nginx->port('h2'));
    my (@waits, @asked);
    for my $n (1 .. $many) {
        my $id    = $ids[rand @ids];
        my $query = (qw(wait=1 wait=80 wait=80&until=sent wait=2&until=read))[rand 4];
        push @waits, $n % 3 ? {wait => later(GET => url(path('storm', $id, $query)))} : do {
            $h2 = connect_h2($nginx->port('h2')) if rand() < 0.1;
            +{h2 => $h2, id => start_read($h2, path('storm', $id, $query))} };
        $api->move($ids[rand @ids], (qw(sent pending))[rand 2]) if $n % 50 == 0;
        if (@waits > 30) {
            @waits = shuffle @waits;
            leave(pop @waits, (qw(reset close))[rand 8 < 1]) for 1 .. 1 + rand 20;
            @waits = grep { !$_->{h2} || $_->{h2}{socket}->opened } @waits;
            $h2    = connect_h2($nginx->port('h2')) unless $h2->{socket}->opened;
        }
    }
    leave($_, 'reset') for @waits;
    ok(wait_for(sub { !active }, 'nobody to be left'), 'nobody is left');
    is_deeply([$nginx->workers], [$worker], 'by one worker');
    my $calls = $api->count(from => $begin, path => '/v1/messages/*');
    note("$many waits, $calls calls");
    cmp_ok($calls, '<=', $many, 'no more calls than waits');
    $api->clear_faults;
    my $id = sent_message;
    $api->move($id, 'read');
    is(waited(get(url(path('two', $id)))), '200 read', 'a wait afterwards');
};

done;
