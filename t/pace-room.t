# Calls for which the zone has no room while they would have to wait for their
# place: each is refused, and counted.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;

my $api   = sandbox;
my $nginx = nginx(
    http   => 'chatmaid_sender +15550100001; chatmaid_zone small:32k; chatmaid_timeout 7d;',
    server => "$STATUS location ^~ /slow/ { chatmaid_gateway /.chatmaid/; chatmaid_rate 1r/m burst=1; }");

is(told(get(url('/slow/phones'))), 200, 'the first place');

my @calls = map { later(GET => url('/slow/phones')) } 1 .. 300;
sub told_now () { grep { $_->done } @calls }
wait_for(sub { metric('chatmaid_pace_waiting') + told_now == @calls }, 'each to wait or to be told');

my @refused = grep { $_->{status} != 200 } map { $_->result } told_now;
my ($answer) = @refused;
note scalar(@refused) . ' of them are refused';
is(told($answer), '429 rate_limited', 'there is no room for one');
is($answer->{headers}{'retry-after'}, 60, 'an interval later there may be');
is(scalar(grep { told($_) ne '429 rate_limited' } @refused), 0, 'nor for others');
is(metric('chatmaid_pace_refused_total'), scalar @refused, 'each is counted');

$_->abort for grep { !$_->done } @calls;
wait_for(sub { metric('chatmaid_pace_waiting') == 0 }, 'nobody to wait');

done;
