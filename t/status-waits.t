# What chatmaid_status says of requests that wait for a message.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Wait;

my $api = sandbox;

my $nginx = waiting(accounts => [qw(one two gone fails killed)], server => $STATUS);

sub polls ($result) { qq(chatmaid_polls_total{result="$result"}) }
sub waiters ($n, $comment) { ok(wait_for(sub { metric('chatmaid_waiters') == $n }, "$n waiters"), $comment) }


subtest 'a wait' => sub {
    my $id     = sent_message;
    my $before = metrics;
    my @waits  = map { waits('one', $id) } 1 .. 3;
    waiters(3, 'three wait');
    ok(wait_for(sub { metric(polls('unchanged')) > 0 }), 'polls find nothing new');
    $api->move($id, 'read');
    all_waited('all are answered', '200 read', @waits);
    waiters(0, 'nobody waits');
    counted('chatmaid_requests_total{route="message",status="200"}', 3, 'three requests');
    is(metric(polls('changed')), 1, 'one poll found something');
    my $all   = metrics;
    my $tries = $all->{'chatmaid_upstream_requests_total{outcome="success"}'} - $before->{'chatmaid_upstream_requests_total{outcome="success"}'};
    is($all->{polls('changed')} + $all->{polls('unchanged')}, $tries - 1, 'the first read was none of them');
};

subtest 'a message that is there already' => sub {
    my $id = sent_message;
    $api->move($id, 'read');
    counts 'no poll', sub { waits('two', $id)->result }, 'message 200' => 1, tries('success');
};

subtest 'at the deadline' => sub {
    my $id = sent_message;
    is(waited(waits('two', $id, 'wait=1')->result), '200 pending timeout', 'answered');
    waiters(0, 'nobody waits');
};

subtest 'a caller that leaves' => sub {
    my $id   = sent_message;
    my $wait = waits('gone', $id);
    waiters(1, 'one waits');
    $wait->abort;
    waiters(0, 'nobody waits');
    counted('chatmaid_requests_total{route="message",status="499"}', 1, 'one request');
};

subtest 'a poll that fails' => sub {
    my $id   = sent_message;
    my $wait = waits('fails', $id);
    known($id);
    $api->fault({status => 500, match => {of($id)}});
    ok(wait_for(sub { metric(polls('error')) == 1 }), 'is counted');
    $api->move($id, 'read');
    is(waited($wait->result), '200 read', 'the next one serves');
};

subtest 'a worker that dies' => sub {
    my $id   = sent_message;
    my $wait = waits('killed', $id);
    waiters(1, 'one waits');
    $nginx->expect(qr/signal 9/, 'killed by this test');
    my ($worker) = $nginx->workers;
    kill KILL => $worker;
    $wait->result;
    waiters(0, 'nobody waits');
};

done;
