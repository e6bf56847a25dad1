package Chatmaid::Test::Storm;

# Many clients, several for each operation, that ask again until they are told
# 201, while something happens to what they ask.
#
#   my @clients = shuffle storm_clients('calm', 100, 5);
#   storm(\@clients, \@gateways, 60);
#   storm(\@clients, \@gateways, 60, {enough => 10, open => sub ($since) { … }, break => sub ($fault) { … },
#       step => sub ($fault, $seconds) { … }});

use Mojo::Base -strict, -signatures;
use Chatmaid::Test ();
use Exporter 'import';
use List::Util qw(max);
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

our @EXPORT = qw(storm_clients storm by_operation requests_of redis_is_back);

# So many operations, and so many clients for each.

sub storm_clients ($name, $count, $copies) {
    return map { my $n = $_; map { {operation => "$name-$n", text => "Message $name $n", due => 0, answers => []} } 1 .. $copies }
        1 .. $count;
}

# Runs them all, so many at once.  Chatmaid holds what it gets until as many claims
# are open as are enough; "open" counts those that have begun since a time.  Then
# $fault->{break} is called, and from then on $fault->{step}, until it says that it
# is over.

sub storm ($clients, $gateways, $at_once, $fault = {}) {
    state $agent = Chatmaid::Test::client(keepalive => 0);
    my $api     = Chatmaid::Test::last_sandbox();
    my @waiting = @$clients;
    my ($broken, @pending) = ($fault->{break} ? 0 : 2);
    my ($start, $end) = (time, time + 300);

    $api->fault($broken ? {delay_before => 250, times => 0} : {hold => 'before', times => 0}) if %$fault;

    while (@waiting || @pending || $broken < 2) {
        die 'the storm does not end' if time > $end;
        while (@pending < $at_once && @waiting && $waiting[0]{due} <= time) {
            my $client  = shift @waiting;
            my $gateway = $gateways->[rand @$gateways];
            @$client{qw(began sent)} = ($client->{began} // time, time);
            $client->{request} = $agent->later(POST => $gateway->url('/chatmaid/send'),
                {to => '+15550100099', text => $client->{text}}, 'Idempotency-Key' => $client->{operation});
            push @pending, $client;
        }

        if ($broken == 0 && ($fault->{claims} = $fault->{open}->($start)) >= $fault->{enough}) {
            $fault->{began} = time;
            $fault->{break}->($fault);
            $broken = 1;
            $api->clear_faults;
            $api->fault({delay_before => 250, times => 0});
            $api->release;
        }
        $broken = 2 if $broken == 1 && $fault->{step}->($fault, time - $fault->{began});

        my @left;
        for my $client (@pending) {
            push @left, $client and next unless $client->{request}->done;
            my $answer = $client->{request}->answer;
            $client->{ended} = time;
            $client->{longest} = max($client->{longest} // 0, time - $client->{sent});
            push @{$client->{answers}}, $answer;
            next if $answer->{status} == 201 || @{$client->{answers}} >= 60;
            $client->{due} = time + 0.3;
            push @waiting, $client;
        }
        @pending = @left;
        Mojo::IOLoop->timer(0.01 => sub { });
        Mojo::IOLoop->one_tick;
    }
    $api->clear_faults;
}

sub by_operation (@clients) {
    my %all;
    push @{$all{$_->{operation}}}, $_ for @clients;
    return \%all;
}

# Requests at the sandbox, by the text in them.
sub requests_of () {
    my %count;
    $count{decode_json($_->{body})->{content}}++ for Chatmaid::Test::last_sandbox()->requests(path => '/v1/messages/send');
    return \%count;
}

# Redis answers again, say the log and the metric of an nginx with $STATUS.  It is
# asked by a socket of its own, for the storm's requests are under way.

sub redis_is_back ($nginx) {
    return 0 unless $nginx->logged(qr/\[error\].* chatmaid redis .* is back/);
    my $status = Chatmaid::Test::raw($nginx->port, "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return $status->{body} =~ /^chatmaid_redis_connected 1$/m;
}

1;
