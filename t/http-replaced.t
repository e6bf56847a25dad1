# Another filter does not like the gateway's answers, and puts nginx's own in
# their place, as the image and XSLT filters do.  nginx then forgets what all
# modules knew of the request; a send that is under way goes on all the same.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use IO::Socket::IP;

my $api   = sandbox;
my $redis = redis_server;

my $silent = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 5) or die "listen: $@";

my %replaced = (
    plain    => 'filter_probe 415;',
    no_error => 'filter_probe 204;',
    page     => 'filter_probe 415; error_page 415 /page;',
    slow     => 'filter_probe 415; error_page 415 = @slow;',
);

sub location ($name) { <<"END" }
        location ^~ /$name/ {
            chatmaid_gateway /.chatmaid/;
            chatmaid_sender  +15550100001;
            chatmaid_timeout 500ms;
            $replaced{$name}
        }
END

my $nginx = nginx(
    probe   => 'filter',
    http    => 'chatmaid_redis ' . $redis->url . ' timeout=30s;',
    gateway => 'chatmaid_sender +15550100001;',
    server  => join '', map({ location($_) } sort keys %replaced), <<"END");
        location = /page { return 200 "a page"; }
        location \@slow  { proxy_pass http://127.0.0.1:@{[$silent->sockport]}; }
END

my $worker = ($nginx->workers)[0];


sub send_to ($place, $m, $key) {
    return later(POST => url("/$place/send"), $m, 'Idempotency-Key' => $key);
}

# When the lease of the only record in flight ends, by Redis' clock.
sub lease () {
    my ($record) = grep { $_->{state} eq 'in_flight' } map { $redis->record($_) } split /\n/, $redis->cli('KEYS', '*:op:*');
    return $record ? $record->{lease} : '';
}

for my $name (sort keys %replaced) {
    subtest "$name: the answer at the deadline" => sub {
        my $m = message;
        $api->fault({hold => 'before'});
        my $held = send_to($name, $m, $name);
        $api->wait_held;
        my $lease = lease;
        wait_for(sub { $nginx->logged(qr/refuses: upstream_timeout.*$name/) }, 'the deadline');
        wait_for(sub { lease ne $lease }, 'the lease to be renewed');
        is(made($m), 0, 'the call is still under way');
        my $waiter = send_to('chatmaid', $m, $name);

        $api->release;
        my $answer = $waiter->result;
        is($answer->{status}, 201, 'one that waits for it gets its answer');
        is($answer->{headers}{'idempotent-replayed'}, 'true', 'as a replay');
        is(scalar(sends_of($m)), 1, 'one request');
        is(made($m), 1, 'one message');
        my $caller = $held->result;
        is(told($caller), $name eq 'no_error' ? 204 : '415 unsupported_media_type unknown', 'what its own caller was told');
    };
}

subtest 'other answers' => sub {
    my $m = message;
    is(told(send_to('plain', $m, 'k')->result), '415 unsupported_media_type unknown', 'a send');
    is(told(send_to('plain', $m, 'k')->result), '415 unsupported_media_type unknown', 'its replay');
    is(told(send_to('plain', message, 'k')->result), '415 unsupported_media_type unknown', 'another message');
    is(told(send_to('plain', {to => 'nobody'}, 'invalid')->result), '415 unsupported_media_type not_sent', 'what is no message');
    is(made($m), 1, 'one message');
};

is(($nginx->workers)[0], $worker, 'by the same worker');

done;
