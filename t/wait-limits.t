# While an account is held back no poll of it begins, whatever call was refused;
# who waits is answered in its time all the same.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Time::HiRes qw(time);

my $api = sandbox;

waiting(accounts => [qw(poll send seen plain)]);


# The next call for that path is refused; limited() says when it has been.
my $from;
sub limit ($path, $seconds) {
    $from = $api->count + 1;
    $api->fault({status => 429, json => {success => \0, message => ['slow down'], $seconds ? (retryAfter => $seconds) : ()}, match => {path => $path}});
}

sub limited () { wait_for(sub { (map { $_->{ended} } grep { ($_->{status} // 0) == 429 } $api->requests(from => $from))[0] }, 'a refused call') }

sub calls_between ($since, $until) { grep { $_->{time} > $since + 0.1 && $_->{time} < $until - 0.1 } $api->requests }


subtest 'a poll is refused' => sub {
    my $id    = sent_message;
    my @waits = (waits('poll', $id), waits('poll', $id, 'wait=2&until=read'));
    known($id);
    limit("/v1/messages/$id", 4);
    my $since = limited;
    $api->move($id, 'sent');
    is(waited($waits[1]->result), '200 pending timeout', 'it is answered as it was, in its time');
    is(waited(waits('poll', $id, 'wait=1')->result), '200 pending timeout', 'one that comes begins with what was seen');
    is(waited(get(url('/poll/phones'))), '200', 'a read waits');
    cmp_ok(time - $since, '>', 3.9, 'for that time');
    is(scalar(calls_between($since, $since + 4)), 0, 'in which there is no call');
    $api->move($id, 'delivered');
    is(waited($waits[0]->result), '200 delivered', 'then there is');
};

subtest 'another call is refused' => sub {
    my $id   = sent_message;
    my $wait = waits('send', $id);
    known($id);
    limit('/v1/phone-numbers', 3);
    my $read  = later(GET => url('/send/phones'));
    my $since = limited;
    my $other = sent_message;
    my $seen  = waits('seen', $other, 'wait=2');
    $api->move($id, 'delivered');
    is(waited($wait->result), '200 delivered', 'a poll finds it out');
    is(scalar(grep { $_->{target} =~ /$id/ } calls_between($since, $since + 3)), 0, 'after that time');
    is(waited($seen->result), '200 pending timeout', 'another account');
    cmp_ok(scalar(grep { $_->{target} =~ /$other/ } calls_between($since, $since + 3)), '>=', 2, 'is asked for');
    is(waited($read->result), '200', 'the call is tried again');
};

subtest 'refused without a time' => sub {
    my $id   = sent_message;
    my $wait = waits('plain', $id);
    known($id);
    limit("/v1/messages/$id", 0);
    limited;
    $api->move($id, 'delivered');
    is(waited($wait->result), '200 delivered', 'it is asked for again');
};

done;
