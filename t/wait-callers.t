# Connections of callers that wait: kept where they can be, lost with a worker, and
# the others' all the same.

use Chatmaid::Test;
use Chatmaid::Test::Wait;

debug_logs;

my $api   = sandbox(plain => 1);         # a first read is soon answered
my $nginx = nginx(
    workers  => 2,
    internal => 'proxy_pass http://chatmaid_api/;',
    http     => 'chatmaid_sender +15550100001;',
    server   => 'listen 127.0.0.1:%PORT:both% reuseport;' . accounts(qw(keeps killed)),
);

subtest 'a connection goes on' => sub {
    my $id   = sent_message;
    my $line = "GET /keeps/messages/$id%s HTTP/1.1\r\nHost: gateway\r\n%s\r\n";
    my ($waits, $reads) = (sprintf($line, '?wait=2', ''), sprintf($line, '', "Connection: close\r\n"));

    my $together = raw($waits . $reads, all => 1);
    is(scalar(() = $together->{raw} =~ m{HTTP/1\.1 200}g), 2, 'two requests in one piece');
    is(waited($together), '200 sent timeout', 'the first one has waited');
    my $later = raw([$waits, $reads], all => 1, gap => 0.3);
    is(scalar(() = $later->{raw} =~ m{HTTP/1\.1 200}g), 2, 'another request while one waits');
    is(scalar(() = $later->{raw} =~ m{Connection: close}g), 1, 'the first one leaves the connection open');

    is(waited(raw(sprintf($line, '?wait=2', '') =~ s/HTTP\/1\.1/HTTP\/1.0/r)), '200 sent timeout', 'HTTP/1.0');
    is(waited(request(GET => url("/keeps/messages/$id?wait=2"), {some => 'body'})), '200 sent timeout', 'with a body');
};

# The kernel deals connections out by their ports.
subtest 'a worker is killed' => sub {
    my $id  = sent_message;
    my @all = map { later(GET => 'http://127.0.0.1:' . $nginx->port('both') . "/killed/messages/$id?wait=30", undef, 'X-Request-Id' => "caller-$_") } 1 .. 24;
    my @pids;
    wait_for(sub {
        @pids = $nginx->error_log =~ m{ (\d+)#\d+: \S+ chatmaid gateway "/killed/}g;
        @pids == 24 && keys %{{map { $_ => 1 } @pids}} == 2;
    }, 'callers at both workers');
    wait_for(sub { $api->count(path => "/v1/messages/$id") >= 2 }, 'a read of each');

    my ($victim, $other) = $nginx->workers;
    $nginx->kill_workers($victim);
    my $lost = grep { $_ == $victim } @pids;
    ok(wait_for(sub { $lost == grep { $_->done } @all }), 'its callers lose their connections');
    is(scalar(grep { $_->done && $_->answer->{status} } @all), 0, 'they have no answer');
    my @left = grep { !$_->done } @all;
    is(scalar(@left), 24 - $lost, 'those of the other one wait on');

    my @new = map { later(GET => 'http://127.0.0.1:' . $nginx->port('both') . "/killed/messages/$id?wait=30") } 1 .. 12;
    $api->move($id, 'delivered');
    is(waited($_->result), '200 delivered', 'and are answered') for @left;
    is(waited($_->result), '200 delivered', 'as those are who come afterwards') for @new;
    ok((grep { $_ == $other } $nginx->workers), 'the other worker is the same');
};

done;
