# Kept connections that Chatmaid has closed meanwhile are no tries: the call is
# made again at once, on the next kept one, and in the end on a new one.

use Chatmaid::Test;
use Chatmaid::Test::World qw(at_most);
use List::Util qw(min);
use Mojo::File qw(path);

my $second = sandbox(name => 'second');
my $api    = sandbox;
my $nginx  = nginx(
    http     => 'chatmaid_sender +15550100001; chatmaid_retries 0;',
    upstream => 'server 127.0.0.1:%API%; keepalive 128;',
    servers  => 'upstream two { server 127.0.0.1:%API%; server 127.0.0.1:' . $second->port . '; keepalive 16; }',
    server   => join "\n",
        'location ^~ /brief/   { chatmaid_gateway /.chatmaid/; chatmaid_timeout 2s; }',
        'location ^~ /retries/ { chatmaid_gateway /.chatmaid/; chatmaid_retries 2; }',
        'location ^~ /two/     { chatmaid_gateway /.two/; }',
        'location ^~ /.two/    { %PROXY% proxy_pass https://two/; }',
);

# So many connections to Chatmaid, all of which wait for their next request.
sub keep ($count, $gateway = 'chatmaid', @apis) {
    @apis = ($api) unless @apis;
    my $each = $count / @apis;
    $_->fault({hold => 'before', times => $each, match => {path => '/v1/account'}}) for @apis;
    my @reads = map { later(GET => url("/$gateway/account")) } 1 .. $count;
    $_->wait_held($each) for @apis;
    $_->release for @apis;
    is(join(' ', map { $_->result->{status} } @reads), join(' ', (200) x $count), "$count connections");
}

sub tries ($id, $at = $api) { join '', map { $_->{reused} } $at->requests(request_id => $id) }

my %end = (
    'reset before'  => {close => 'before', reset => 1},
    'closed before' => {close => 'before'},
    'reset after'   => {close => 'after', reset => 1},
);

for my $name (sort keys %end) {
    for my $what (qw(send read)) {
        subtest "$name, $what" => sub {
            keep(12);
            my $id = "$name-$what" =~ tr/ /-/r;
            my $m  = message;
            $api->fault({%{$end{$name}}, times => 12, match => {reused => 1, request_id => $id}});
            my @id     = ('X-Request-Id' => $id);
            my $answer = $what eq 'send' ? post('/send', $m, 'Idempotency-Key' => $id, @id) : get('/phones', @id);
            is(told($answer), $what eq 'send' ? 201 : 200, 'the first one is answered');
            is(tries($id), '1' x 12 . '0', 'on the thirteenth connection');
            is(made($m), 1, 'one message') if $what eq 'send';
            is(scalar(keys %{{map { $_->{body} => 1 } sends_of($m)}}), 1, 'the same bytes each time') if $what eq 'send';
        };
    }
}

subtest 'what comes after is a try' => sub {
    for my $case (['chatmaid', 0], ['retries', 2]) {
        my ($gateway, $retries) = @$case;
        keep(3);
        my $id = "after-$gateway";
        $api->fault({close => 'before', reset => 1, times => 0, match => {request_id => $id}});
        is(told(post(url("/$gateway/send"), message, 'X-Request-Id' => $id)), '502 upstream_error unknown', "$gateway: is told");
        is(tries($id), '1110' . '0' x $retries, "$gateway: so many tries");
        $api->clear_faults;
    }
};

subtest 'the closed one may have brought the message' => sub {
    keep(1);
    my ($m, $k) = (message, key);
    $api->fault({%{$end{'closed before'}}, match => {reused => 1}}, {status => 400, json => {success => \0, message => ['no']}});
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '400 invalid_request unknown', 'a refusal does not say that it was not sent');
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), 201, 'the same again');
    is(made($m), 1, 'one message');
};

subtest 'only before a byte of an answer' => sub {
    keep(1);
    $api->fault({raw => 'HTTP/1.1 2', match => {reused => 1, request_id => 'begun'}});
    is(told(post('/send', message, 'X-Request-Id' => 'begun')), '502 upstream_error unknown', 'an answer that has begun');
    is(tries('begun'), '1', 'is a try');
};

subtest 'the deadline' => sub {
    keep(12);
    $api->fault({%{$end{'closed before'}}, delay_before => 600, times => 0, match => {reused => 1, request_id => 'late'}});
    is(told(post(url('/brief/send'), message, 'X-Request-Id' => 'late')), '504 upstream_timeout unknown', 'is kept');
    my $done = sub { $_[0]->{aborted} || $_[0]->{answered} };
    wait_for(sub { !grep { !$done->($_) } $api->requests(request_id => 'late') }, 'the last one to end');
    cmp_ok(length tries('late'), '<', 6, 'no call begins after it');
    $api->clear_faults;
    $api->close_idle;
};

subtest 'very many' => sub {
    keep(110);
    $api->fault({%{$end{'reset before'}}, times => 0, match => {reused => 1, request_id => 'many'}});
    is(told(post('/send', message, 'X-Request-Id' => 'many')), 201, 'the send is answered');
    is(tries('many'), '1' x 100 . '0', 'on a new connection, after a hundred');
    $api->clear_faults;
    $api->close_idle;
};

# Each poll meets the connection that the call before has left.
subtest 'polls' => sub {
    my $id = post('/send', message)->{json}{id};
    $api->fault({%{$end{'closed before'}}, times => 0, match => {reused => 1, path => "/v1/messages/$id"}});
    my $wait = later(GET => "/messages/$id?wait=50&until=read");
    $api->wait_requests(9, path => "/v1/messages/$id");
    $api->move($id, 'read');
    is($wait->result->{json}{status}, 'read', 'the wait ends');

    my @polls = $api->requests(path => "/v1/messages/$id");
    like(join('', map { $_->{reused} } @polls), qr/\A1?(?:01)+0\z/, 'each one is made again');
    my @gaps = map { $polls[$_]{time} - $polls[$_ - 1]{time} } grep { $polls[$_ - 1]{reused} } 1 .. $#polls;
    cmp_ok(min(@gaps), '<', 0.4, 'at once');
    $api->clear_faults;
};

# A connection that died while it was kept says nothing about its address.
subtest 'two addresses' => sub {
    $_->close_idle for $api, $second;
    keep(4, 'two', $api, $second);
    $_->fault({%{$end{'reset before'}}, times => 0, match => {reused => 1}}) for $api, $second;
    is(told(post(url('/two/send'), message)), 201, 'all kept ones were reset: the first send');
    is(told(post(url('/two/send'), message)), 201, "send $_") for 2 .. 6;
    is(scalar($nginx->logged(qr/no live upstreams/)), 0, 'no address is out of use');
    $_->clear_faults for $api, $second;
};

# As conf.example has it.
subtest 'two addresses, one failed call to each' => sub {
    my ($server) = path(__FILE__)->dirname->child('../conf.example')->slurp =~ /^\s*server\s+developers-api\.chatmaid\.net:443(.*?;)/m;
    my $two = nginx(http => 'chatmaid_retries 0;', gateway => 'chatmaid_sender +15550100001;',
        upstream => join ' ', map { 'server 127.0.0.1:' . $_->port . $server } $api, $second);
    $_->fault({close => 'before', match => {reused => 0}}) for $api, $second;
    is(told($two->post('/send', message)), '502 upstream_error unknown', "failed call $_") for 1, 2;
    is(told($two->post('/send', message)), 201, "send $_") for 1 .. 3;
};

done;
