#!/usr/bin/perl

# A server that does not know a script yet, and says so only when nobody waits
# any more: what a send or a delivery has become is told to it all the same, what
# would only hold a record is not.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Mojo::IOLoop;

my $api = sandbox;

# Scripts, by the number of their arguments without the keys.  mark_ambiguous
# and renew have three, remove has one: which it is depends on what is done.

my %SCRIPT = (5 => 'claim', 4 => 'finish', 3 => 'settle', 1 => 'settle', 7 => 'add_event');

sub script (@words) { ($words[0] =~ /^EVAL/ && $SCRIPT{@words - 3 - $words[2]}) || '' }

# Everything is granted, but the reply to the first script of the kind that
# stalls waits, and those behind it, until late_reply.

sub server ($stalls) {
    my $server = {waiting => []};
    $server->{fake} = redis_fake(sub ($fake, $stream, @words) {
        my $kind  = script(@words);
        my $reply = $kind eq 'claim' ? sprintf("*3\r\n\$7\r\nclaimed\r\n:%d\r\n:0\r\n", 1000 * time)
            : $kind ? ":1\r\n" : "+OK\r\n";
        my $first = $kind eq $stalls && !$server->{stream};
        $server->{stream} = $stream if $first;
        return push @{$server->{waiting}}, $first ? "-NOSCRIPT No matching script.\r\n" : $reply if $first || @{$server->{waiting}};
        $stream->write($reply);
    });
    return $server;
}

sub late_reply ($server) { $server->{stream}->write(join '', splice @{$server->{waiting}}) }
sub evals ($server)      { map { script(@$_) } grep { $_->[0] eq 'EVAL' } @{$server->{fake}->seen} }

my %refused = (status => 404, json => {success => \0, message => ['who?']});
my $body    = event('message.sent');

my @cases = (
    ['a finish',            'finish',    201,                              {},           'finish'],
    ['a removal',           'settle',    '404 not_found unknown',          {%refused},   'settle'],
    ['an ambiguous one',    'settle',    '502 upstream_error unknown',     {close => 'after'}, 'settle'],
    ['a claim',             'claim',     201,                              {},           ''],
    ['an event of a stream', 'add_event', '503 store_unavailable',         undef,        ''],
);

for (@cases) {
    my ($name, $stalls, $answer, $fault, $wanted) = @$_;
    my $server = server($stalls);
    my $nginx  = nginx(name => $name =~ s/\W/-/gr, files => {webhook_secret => webhook_secret . "\n"},
        http    => 'chatmaid_redis ' . $server->{fake}->url . ' timeout=3s; chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001;',
        server  => 'location = /inbox { chatmaid_webhook on; chatmaid_webhook_stream inbox; }');
    wait_for(sub { @{$server->{fake}->greeted} }, 'a connection');
    $api->fault($fault) if $fault && %$fault;
    my $asked = $fault ? $nginx->post('/send', message, 'Idempotency-Key' => key)
        : $nginx->post($nginx->url('/inbox'), $body, signed($body));
    is(told($asked), $answer, "$name: the caller does not wait for ever");
    is(join(' ', evals($server)), '', "$name: nothing was run");

    my $taken = $server->{fake}->taken;
    late_reply($server);
    wait_for(sub { evals($server) }, "$name: EVAL") if $wanted;

    is(told($nginx->post('/send', message, 'Idempotency-Key' => key)), 201, "$name: a send afterwards");
    is(join(' ', evals($server)), $wanted, "$name: " . ($wanted ? 'it is told, once' : 'it is left'));
    is($server->{fake}->taken, $taken, "$name: on the same connection");
}

done;
