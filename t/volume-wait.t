# A hundred callers wait for ten messages at two workers, for more than a minute:
# one call at a time for a message and worker, thirty in any minute, the message
# longest unasked first, and some left for webhooks however many wait.

use Chatmaid::Test;
use Chatmaid::Test::Wait qw(waited);
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use List::Util qw(max);
use Time::HiRes qw(time);

my $api   = sandbox(plain => 1);         # for many connections at once
my $nginx = nginx(
    workers   => 2,
    internal  => 'proxy_pass http://chatmaid_api/; proxy_connect_timeout 30s; proxy_read_timeout 30s;',
    error_log => 'info',
    access    => 'pid=$pid id=$http_x_request_id',
    files     => {webhook_secret => webhook_secret . "\n"},
    http      => 'chatmaid_sender +15550100001; chatmaid_wait_max 100s; chatmaid_webhook_secret_file %DIR%/webhook_secret;',
    server    => <<'END');
        listen 127.0.0.1:%PORT:both% reuseport;
        location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done    { return 204; }
END

my $client = client(timeout => 120);

# Sleeps.
sub until_ ($time) {
    return if $time <= time;
    Mojo::IOLoop->timer($time - time, sub { Mojo::IOLoop->stop });
    Mojo::IOLoop->start;
}

sub hook ($id, $event) {
    my $body = event($event, {messageId => $id});
    return post(url('/webhook'), $body, signed($body))->{status};
}

sub told_of ($one) { waited($one->{asked}->result) }


# --- What happens ------------------------------------------------------------

my @ids = map { post('/send', {to => '+15550100099', text => "Message $_"})->{json}{id} } 1 .. 10;

# Each call takes a while, so that two at once would be seen.
$api->fault({delay => 300, times => 0, match => {path => '/v1/messages/*', method => 'GET'}});

my $start = time;
my @waits = map { my $n = $_; {message => $n % 10, id => "caller-$n", asked => $client->later(GET => 'http://127.0.0.1:' . $nginx->port('both')
    . "/chatmaid/messages/$ids[$n % 10]?wait=" . ($n % 10 > 7 ? 78 : 90) . '&until=read', undef, 'X-Request-Id' => "caller-$n")} } 0 .. 99;
sub of ($n) { grep { $_->{message} == $n } @waits }

# Those by time are used up within two seconds.
until_($start + 6);

subtest 'webhooks find some polls left' => sub {
    for my $n (0, 1) {
        $api->move($ids[$n], 'read');
        my $since = time;
        is(hook($ids[$n], 'message.read'), 204, "message $n");
        is(told_of($_), '200 read', "$_->{id}: is answered") for of($n);
        cmp_ok(time - $since, '<', at_most(5), "message $n: soon");
    }
};

$api->move($ids[$_], 'delivered') for 2 .. 9;
until_($start + 45);
$api->move($ids[$_], 'read') for 2 .. 7;
until_($start + 80);
$api->clear_faults;

subtest 'all are answered' => sub {
    is(told_of($_), '200 read', "$_->{id}: as it is read") for map { of($_) } 2 .. 7;
    is(told_of($_), '200 delivered timeout', "$_->{id}: at its deadline") for map { of($_) } 8, 9;
};


# --- What Chatmaid has seen --------------------------------------------------

my @calls = sort { $a->{time} <=> $b->{time} } $api->requests(method => 'GET', path => '/v1/messages/*');
my $log = $nginx->access_log;
my (%pid, %of);
$pid{$2} = $1 while $log =~ m{ pid=(\d+) id=(\S+)$}mg;
$_->{topic} = "$pid{$_->{request_id}} " . $_->{target} =~ s{.*/}{}r for @calls;

push @{$of{$_->{topic}}}, $_ for @calls;
my @firsts = map { $_->[0] } values %of;
note(scalar(@calls) . ' calls, ' . scalar(@firsts) . ' of them reads with which waits began');

is(scalar(keys %{{map { $_ => 1 } values %pid}}), 2, 'both workers had callers');
is(scalar(grep { my $n = $_; grep { $_->[$n] && $_->[$n]{time} < $_->[$n - 1]{ended} } values %of } 1 .. 100), 0, 'one call at a time');
cmp_ok(max(map { my $from = $_->{time}; scalar grep { $_->{time} >= $from && $_->{time} < $from + 60 } @calls } @calls), '<=', 30, 'thirty calls a minute');
cmp_ok(scalar(@calls), '>', 35, 'in the second minute there are more');

# Of those that are still waited for, but for what a webhook brought about.
subtest 'the longest unasked first' => sub {
    my %asked = map { $_->{topic} => $_->{time} } @firsts;
    my %first = map { $_->{n} => 1 } @firsts;
    my $out_of_turn = 0;
    for my $call (grep { !$first{$_->{n}} } @calls) {
        my $own = $asked{$call->{topic}};
        unless ($call->{target} =~ /\Q$ids[0]\E|\Q$ids[1]\E/) {
            my @passed = grep { $asked{$_} < $own - 1 && $_ ne $call->{topic} } grep { $_ !~ /\Q$ids[0]\E|\Q$ids[1]\E/ } keys %asked;
            @passed = grep { my ($next) = grep { $_->{time} >= $call->{time} } @{$of{$_}}; $next && $next->{time} > $call->{time} + 1 } @passed;
            $out_of_turn++ if @passed;
        }
        $asked{$call->{topic}} = $call->{time};
    }
    is($out_of_turn, 0, 'none is asked for before one that waits longer');
    is(scalar(grep { @$_ < 2 } values %of), 0, 'each is asked for again');
};

done;
