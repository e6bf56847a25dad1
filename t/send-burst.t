# More sends than Chatmaid takes in its windows of five seconds, from twenty
# callers over two gateways: who obeys each Retry-After ends with its 201.  The
# sandbox's own dedup is off.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(patience);
use List::Util qw(max min shuffle);
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my $limit = volume(100, 20);
my $total = volume(300, 60);
my $api   = sandbox(dedup => 0, rate => {requests => $limit, seconds => 5, window => 'fixed'});
my $redis = redis_server;

# One has its callers wait for a window, the other has no time for that.
my %gateway = map {
    my ($name, $timeout) = @$_;
    $name => nginx(name => $name, workers => 2, error_log => 'notice', http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;',
        gateway => "chatmaid_sender +15550100001; chatmaid_timeout $timeout;", internal => "proxy_set_header X-Gateway $name; proxy_connect_timeout 20s; proxy_read_timeout 20s;")
} ['patient', '25s'], ['hasty', '1s'];

# Slow enough that many are under way when the first one is refused, and one after
# the other, so that those would soon be followed by others.
$api->fault({delay => 700, times => 0});

my $agent    = client(keepalive => 0);
my @callers  = map { {name => $_, due => time + 0.035 * $_, asked => []} } 1 .. 20;
my @messages = map { {key => "burst-$_", text => "Message $_", answers => []} } 1 .. $total;
my @left     = shuffle @messages;
my $end      = time + patience(600);

until (!@left && !grep { $_->{message} } @callers) {
    die 'the burst does not end' if time > $end;
    for my $caller (@callers) {
        if (my $request = $caller->{request}) {
            next unless $request->done;
            my $answer = $request->answer;
            $caller->{asked}[-1]{until} = time;
            push @{$caller->{message}{answers}}, $answer;
            delete $caller->{request};
            # 504: the deadline came while a call was under way
            if    ($answer->{status} == 429) { $caller->{due} = time + $answer->{headers}{'retry-after'} }
            elsif ($answer->{status} == 504) { $caller->{due} = time + 0.3 }
            else                             { delete($caller->{message})->{answered} = time }
        }
        next if $caller->{due} > time;
        my $message = $caller->{message} //= shift @left // next;
        my $name    = (sort keys %gateway)[rand 2];
        push @{$caller->{asked}}, {gateway => $name, from => time};
        $caller->{request} = $agent->later(POST => $gateway{$name}->url('/chatmaid/send'),
            {to => '+15550100099', text => $message->{text}}, 'Idempotency-Key' => $message->{key});
    }
    Mojo::IOLoop->timer(0.01 => sub { });
    Mojo::IOLoop->one_tick;
}
$api->clear_faults;

my %texts;
$texts{$_->{content}}++ for $api->messages;
my @answers = map { @{$_->{answers}} } @messages;
my @calls   = $api->requests(path => '/v1/messages/send');
my @refused = grep { $_->{status} == 429 } @calls;

is(scalar(grep { $_->{answers}[-1]{status} == 201 } @messages), $total, 'every caller ends with its 201');
is(scalar(grep { $_->{status} !~ /^(?:201|429|504)$/ } @answers), 0, 'and is told nothing else but to wait, or to ask again');
is(scalar(grep { $_->{status} == 429 && $_->{headers}{'retry-after'} !~ /\A[1-5]\z/ } @answers), 0, 'for as long as a window may take');
is(scalar(keys %texts), $total, 'no message is lost');
is(max(values %texts), 1, 'and none is sent twice');
is(scalar(@calls) - @refused, $total, 'as many calls, besides those that were refused');
ok(scalar(@refused), 'there were such');
ok(scalar(grep { $_->{status} == 429 } @answers), 'and callers were told to wait');

# How long an answer was on its way here at most: a gateway may know of a refusal
# as late.
my %ended = map { $_->{status} == 201 ? (decode_json($_->{body})->{content} => $_->{ended}) : () } @calls;
my $lag   = max map { $_->{answered} - $ended{$_->{text}} } @messages;

# Those under way at a gateway: asked and not yet answered.
sub under_way ($name, $at) {
    return scalar grep { $_->{gateway} eq $name && $_->{from} <= $at + $lag + 0.25 && $_->{until} >= $at } map { @{$_->{asked}} } @callers;
}

for my $name (sort keys %gateway) {
    my %windows;
    push @{$windows{$_->{window}}}, $_ for grep { ($api->header($_, 'X-Gateway'))[0] eq $name } @calls;
    for my $window (sort keys %windows) {
        my @here  = grep { $_->{status} == 429 } @{$windows{$window}} or next;
        my $first = min map { $_->{ended} } @here;
        cmp_ok(scalar @here, '<=', under_way($name, $first), "$name, window $window: refused were no more than were under way at the first");
        is(scalar(grep { $_->{time} > $first + $lag + 0.4 } @{$windows{$window}}), 0, "$name, window $window: and from then on nothing was asked");
    }
}
note(sprintf '%d sends, %d a window: %d calls, %d of them refused; callers were told 429 %d times; %d windows', $total, $limit,
    scalar @calls, scalar @refused, scalar(grep { $_->{status} == 429 } @answers), scalar keys %{{map { $_->{window} => 1 } @calls}});

done;
