# Who goes first where calls wait for a place: sends before reads before polls,
# the callers of sends by turns, each in its own order; over two workers.  A 429
# holds the account back while the queue fills.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::World qw(patience);
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my $api   = sandbox;
my $hold  = patience(10) > 60 ? 60 : patience(10);
my @cases = qw(turns leaves killed reload);
my $rate  = 'chatmaid_rate 2r/s burst=1 caller=$http_x_caller;';
my %again = map { $_ => "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; $rate }
    location ^~ /$_-once/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; chatmaid_retries 0; }" } @cases;
my $nginx = nginx(
    workers  => 2,
    access   => 'pid=$pid id=$chatmaid_request_id',
    http     => 'chatmaid_sender +15550100001; chatmaid_timeout 3m; chatmaid_wait_max 3m;',
    internal => 'proxy_connect_timeout 20s; proxy_read_timeout 20s;',
    server   => "$STATUS listen 127.0.0.1:%PORT:both% reuseport;\n" . join "\n", map { $again{$_} } @cases,
);

# To both workers, as the kernel deals connections out by their ports.
sub at ($path) { 'http://127.0.0.1:' . $nginx->port('both') . "/$path" }

my ($waiting, $from) = (0);

# A call that waits; the next one comes when this one is in the queue.
sub queued ($case, $kind, $name) {
    my ($caller) = $name =~ /^([a-z]+)/;
    my $call = $kind eq 'send'
        ? later(POST => at("$case/send"), message(text => "$case $name"), 'X-Caller' => $caller, 'X-Request-Id' => "$case-$name")
        : later(GET => at("$case/phones/$name"), undef, 'X-Request-Id' => "$case-$name");
    $waiting++;
    waiting($waiting, "$case: $name to wait");
    return $call;
}

# While the account is held back.
sub waiting ($number, $what) { wait_for(sub { metric('chatmaid_pace_waiting') == $number || $api->count > $from }, $what) }

# The account is held back, and the calls of "queue" come meanwhile: again where
# the machine was too slow.  A poll may wait already.  "from" is where the journal
# was.
sub held ($case, $queue) {
    for my $again (0 .. 9) {
        $api->fault({status => 429, json => {success => \0, message => ['slow down'], retryAfter => $hold}, match => {path => '/v1/messages/send'}});
        is(told(post(at("$case-once/send"), message)), '429 rate_limited not_sent', "$case: held back");
        $waiting = metric('chatmaid_pace_waiting');
        $from    = $api->count;
        my @all = $queue->();
        return @all if $api->count == $from;
        note("$case: too slow");
        $_->result for @all;
    }
    die "$case: the machine is too slow";
}

# What Chatmaid got since, by the names of the calls.
sub order () {
    return map { $_->{target} =~ m{^/v1/phone-numbers/(.*)} ? $1
        : $_->{method} eq 'POST' ? (decode_json($_->{body})->{content} =~ / (\S+)$/)[0]
        : 'poll' } $api->requests(from => $from + 1);
}

sub workers_of ($case) { scalar keys %{{map { $_ => 1 } $nginx->access_log =~ m{ /\Q$case\E/.* pid=(\d+)}mg}} }


subtest 'turns and kinds' => sub {
    my $id   = post(at('turns/send'), message)->{json}{id};
    my $wait = later(GET => at("turns/messages/$id?wait=180&until=read"));
    $api->wait_requests(1, path => "/v1/messages/$id");

    my @all = held('turns', sub { (map({ queued('turns', read => "r$_") } 1, 2), map({ queued('turns', send => "a$_") } 1 .. 5),
        map({ queued('turns', send => "b$_") } 1, 2), queued('turns', send => 'c1'), queued('turns', send => 'a6')) });
    is(told($_->result), '404 not_found', 'a read') for @all[0, 1];
    is(told($_->result), 201, 'a send') for @all[2 .. $#all];
    wait_for(sub { $api->count > $from + @all }, 'a poll');
    my @order = order;
    is("@order[0 .. $#all]", 'a1 b1 c1 a2 b2 a3 a4 a5 a6 r1 r2', 'their order');
    is($order[@all], 'poll', 'then the poll');
    is(workers_of('turns'), 2, 'by both workers');
    $api->move($id, 'read');
    is(told($wait->result), 200, 'the wait');
};

subtest 'callers that leave' => sub {
    is(told(post(at('leaves/send'), message)), 201, 'the first place');
    my ($read, $send) = held('leaves', sub {
        my @all = (queued('leaves', read => 'r1'), queued('leaves', read => 'r2'), queued('leaves', send => 'a1'), queued('leaves', send => 'a2'));
        $_->abort for @all[0, 2];
        waiting(3, 'the read to be gone');
        return @all[1, 3];
    });
    is(told($send->result), 201, 'the other send');
    is(told($read->result), '404 not_found', 'the other read');
    is(join(' ', order), 'a1 a2 r2', 'the send keeps its place, the read does not');
};

subtest 'a worker that is killed' => sub {
    my @all = held('killed', sub { map { queued('killed', send => "a$_") } 1 .. 8 });
    my %at   = map { $_ => 1 } $nginx->workers;
    my ($victim) = sort keys %at;
    $nginx->kill_workers($victim);
    my @told = map { told($_->result) } @all;
    my @left = grep { $told[$_ - 1] eq '201' } 1 .. 8;
    note("@told");
    is(metric('chatmaid_pace_waiting'), 0, 'nobody waits, nor what is left of those');
    is(scalar(grep { $_ ne '201' && $_ !~ /\A(?:0|599)?\s*\z/ } @told), 0, 'the others are sent, or their connection was lost');
    is(join(' ', order), join(' ', map { "a$_" } @left), 'in their order');
    is(told(post(at('killed/send'), message)), 201, 'and one more');
    wait_for(sub { metric('chatmaid_pace_waiting') == 0 }, 'nobody to wait');
};

subtest 'a reload' => sub {
    my $rate = 2;
    my @all  = held('reload', sub {
        my @before = map { queued('reload', send => "a$_") } 1 .. 4;
        $rate++;
        $nginx->configure(server => "$STATUS listen 127.0.0.1:%PORT:both% reuseport;\n" . join "\n", map { $again{$_} =~ s/2r/${rate}r/r } @cases);
        $nginx->reload;
        return @before, queued('reload', send => 'b1'), queued('reload', send => 'a5');
    });
    is(told($_->result), 201, 'a send') for @all;
    is(join(' ', order), 'a1 b1 a2 a3 a4 a5', 'those of both configurations take turns');
};

done;
