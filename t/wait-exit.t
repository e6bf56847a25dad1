# A worker that is shutting down answers those who wait within 5 seconds, with what
# it has.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Http2;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api    = sandbox;

sub start_nginx (%option) {
    return waiting(accounts => ['other'], server => 'listen 127.0.0.1:%PORT:h2% http2;', %option);
}

sub gone ($nginx, @pids) { wait_for(sub { my %title = $nginx->children; !grep { exists $title{$_} } @pids }, 'the old workers to end') }


subtest 'reload' => sub {
    my $nginx = start_nginx;
    my @old   = $nginx->workers;
    my ($known, $asked, $new) = map { sent_message } 1 .. 3;
    my @waits = (map { waits('chatmaid', $known) } 1 .. 3), map { waits('chatmaid', $known, 'wait=60&until=read') } 1 .. 3;
    push @waits, map { waits('chatmaid', $asked) } 1 .. 2;
    known($_) for $known, $asked;
    my $h2 = connect_h2($nginx->port('h2'));
    my ($stream, $head) = opened($h2, GET => "/chatmaid/messages/$known?wait=80");
    put($h2, $head);
    get('/account');
    $api->fault({hold => 'before', match => {of($asked)}});
    $api->wait_held;
    $api->fault({hold => 'before', match => {of($new)}});
    my @first = map { waits('chatmaid', $new) } 1 .. 2;
    $api->wait_held(2);

    my $start = time;
    $nginx->reload;
    all_waited('those of whose message something is known', '200 pending timeout', @waits);
    is(answer($h2, $stream)->{status}, 200, 'a stream as well');
    cmp_ok(time - $start, '<', at_most(3), 'at once');
    all_waited('those of whose message nothing is', '504 upstream_timeout 504', @first);
    cmp_ok(time - $start, '<', at_most(5), 'within 5 s');
    is(scalar(grep { ($_->answer->{headers}{connection} // '') ne 'close' } @waits, @first), 0, 'their connections end');

    my $wait = waits('chatmaid', $known);
    known($known);
    $api->move($known, 'delivered');
    all_waited('the new worker goes on', '200 delivered', $wait);
    is($api->release, 2, 'the calls went on');
    ok(gone($nginx, @old), 'and the old worker ends then');
};

subtest 'what is still on its way' => sub {
    my $nginx = start_nginx;
    my @old   = $nginx->workers;
    my ($id, $other) = map { sent_message } 1 .. 2;
    $api->fault({hold => 'before', match => {of($_)}}) for $id, $other;
    my @waits = map { waits('chatmaid', $id) } 1 .. 3;
    my $read  = waits('chatmaid', $other, 'wait=80&until=sent');
    $api->wait_held(2);
    $api->move($other, 'sent');
    $nginx->reload;
    get('/account');
    $api->release;
    all_waited('a first read is answered with what comes', '200 pending timeout', @waits);
    all_waited('in time, if it is that', '200 sent', $read);
    ok(gone($nginx, @old), 'the old worker ends');
};

subtest 'a pause' => sub {
    my $nginx = start_nginx;
    my @old   = $nginx->workers;
    my $id    = sent_message;
    $api->fault({status => 503, json => {success => \0, message => ['later'], retryAfter => 20}, match => {of($id)}});
    my @waits = map { waits('chatmaid', $id) } 1 .. 2;
    known($id);
    my $start = time;
    $nginx->reload;
    all_waited('does not hold anybody', '504 upstream_timeout 504', @waits);
    cmp_ok(time - $start, '<', at_most(5), 'for 5 s');
    ok(gone($nginx, @old), 'nor the old worker');
    is($api->count(of($id)), 1, 'nothing else was asked');
};

subtest 'quit' => sub {
    my $nginx = start_nginx(workers => 2);
    my $id    = sent_message;
    my @waits = map { waits('chatmaid', $id) } 1 .. 10;
    known($id);
    my $start = time;
    $nginx->kill('QUIT');
    all_waited('all are answered', '200 pending timeout', @waits);
    ok(wait_for(sub { !$nginx->alive }, 'its end'), 'it ends');
    cmp_ok(time - $start, '<', at_most(5), 'within 5 s');
    is($nginx->status, 0, 'with status 0');
};

subtest 'those who have left' => sub {
    my $nginx = start_nginx;
    my @old   = $nginx->workers;
    my $id    = sent_message;
    my @waits = map { waits('chatmaid', $id) } 1 .. 4;
    known($id);
    $_->abort for @waits;
    $nginx->reload;
    ok(gone($nginx, @old), 'hold no worker');
};

done;
