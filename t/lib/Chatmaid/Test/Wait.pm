package Chatmaid::Test::Wait;

# Callers that wait for a message, and what Chatmaid was asked for them.
#
#   use Chatmaid::Test;
#   use Chatmaid::Test::Wait;
#
#   my $api = sandbox;
#   waiting(accounts => ['one']);
#   my $id   = sent_message;
#   my $wait = waits('one', $id);
#   known($id);
#   $api->move($id, 'read');
#   is(waited($wait->result), '200 read', 'answered');
#
# waiting() takes the options of nginx(), and "accounts": polls are counted by
# account, so a case that needs some has one of its own, at /NAME/.

use Mojo::Base -strict, -signatures;
use Chatmaid::Test ();
use Chatmaid::Test::World qw(wait_for);
use Exporter 'import';
use Test::More ();

our @EXPORT = qw(waiting sent_message waits waited all_waited of reads known);

sub waiting (%option) {
    my $accounts = delete $option{accounts} // [];
    my ($http, $server) = map { delete $option{$_} // '' } qw(http server);
    return Chatmaid::Test::nginx(key => Chatmaid::Test::live_key, %option,
        http   => "chatmaid_idempotency off; chatmaid_sender +15550100001; chatmaid_wait_max 300s; $http",
        server => "$server\n" . Chatmaid::Test::accounts(@$accounts));
}

# A message like none before; its id.
sub sent_message ($gateway = Chatmaid::Test::last_nginx()) {
    return $gateway->post('/send', Chatmaid::Test::message())->{json}{id};
}

sub waits ($account, $id, $query = 'wait=300') {
    return Chatmaid::Test::later(GET => Chatmaid::Test::url("/$account/messages/$id?$query"));
}

# "200 sent timeout", or "502 upstream_error 502": the problem has its status too.
sub waited ($answer) {
    my $json = ref $answer->{json} eq 'HASH' ? $answer->{json} : {};
    return join ' ', grep { defined } $answer->{status}, @$json{qw(code status)}, $answer->{headers}{'chatmaid-wait'};
}

# All of them are told the same.
sub all_waited ($name, $want, @waits) {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::is(join(', ', map { waited($_->result) } @waits), join(', ', ($want) x @waits), $name);
}

# What Chatmaid was asked for a message.
sub of ($id)    { (path => "/v1/messages/$id") }
sub reads ($id) { Chatmaid::Test::last_sandbox()->count(of($id)) }

# Its reads are over.  Whoever has asked by then is known to have joined, for a
# later request has been answered.
sub known ($id) {
    my $api = Chatmaid::Test::last_sandbox();
    wait_for(sub { my @all = $api->requests(of($id)); @all && !grep { !$_->{ended} } @all }, 'a first read');
    Chatmaid::Test::get('/account');
}

1;
