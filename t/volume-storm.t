# Many operations, each sent several times at once in random order: as many
# messages as operations.  The sandbox's own dedup is off.

use Chatmaid::Test;
use List::Util qw(shuffle);

my $api   = sandbox(dedup => 0);
my $nginx = nginx(workers => 2, http => 'chatmaid_zone chatmaid:8m;', gateway => 'chatmaid_sender +15550100001;',
    error_log => 'warn');

my $operations = volume(1000, 20);
my $copies     = 5;
my @clients    = map { client(keepalive => 1) } 1;
my (%answers, @pending);

sub reap ($left) {
    while (@pending > $left) {
        my ($n, $request) = @{shift @pending};
        push @{$answers{$n}}, $request->result;
    }
}

$clients[0]->agent->max_connections(100);
for my $n (shuffle map { ($_) x $copies } 1 .. $operations) {
    my $message = {to => '+15550100099', text => "Message $n"};
    push @pending, [$n, $clients[0]->later(POST => '/send', $message, 'Idempotency-Key' => "operation-$n")];
    reap(60);
}
reap(0);

my @all = map { @$_ } values %answers;
is(scalar(@all), $operations * $copies, 'all are answered');
is(scalar(grep { $_->{status} == 201 } @all), scalar(@all), 'with 201');
is($api->made, $operations, 'as many messages as operations');

my $alike = grep { my %bodies = map { $_->{body} => 1 } @$_; keys %bodies == 1 } values %answers;
is($alike, $operations, 'all answers of an operation are the same bytes');
is(scalar(grep { !$_->{headers}{'idempotent-replayed'} } @all), $operations, 'one of each is no replay');
note("$operations operations, each $copies times");

done;
