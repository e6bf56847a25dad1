#!/usr/bin/perl

# A Redis Cluster: each record is at the node that has its slot, wherever a slot
# moves and whoever becomes its master.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api = sandbox;

sub gateway ($nodes, %more) {
    state $serial = 0;
    my $params = delete $more{params} // '';
    my $user   = delete $more{user} // '';
    my $hosts  = join ',', map { '127.0.0.1:' . (ref $_ ? $_->port : $_) } @$nodes;
    return nginx(name => 'gateway' . ++$serial, workers => 2, error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        files => {webhook_secret => webhook_secret . "\n", %{delete $more{files} // {}}},
        http => "chatmaid_redis redis+cluster://$user$hosts timeout=2s fallback=reject $params; chatmaid_retries 0; chatmaid_webhook_secret_file %DIR%/webhook_secret;",
        server => <<'END', %more);
        location = /stream { chatmaid_webhook on; chatmaid_webhook_stream events; }
        location = /tagged { chatmaid_webhook on; chatmaid_webhook_stream "a{b}c"; }
        location = /hook   { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done   { return 204; }
END
}

sub send_at ($nginx, $k = key, $m = message) { $nginx->post('/send', $m, 'Idempotency-Key' => $k) }
sub records (@nodes) { map { split /\n/, $_->cli('KEYS', 'chatmaid:op:*') } @nodes }
sub slot_of ($key) { $main::masters[0]->cli(CLUSTER => 'KEYSLOT', $key) }
sub named ($k) { record_of($k) =~ s/op:(.*)/op:{$1}/r }

our @masters = redis_cluster;

# Moves a slot, as redis-cli --cluster reshard does, with a pause between the
# steps.
sub moved ($slot, $from, $to, $between = sub { }) {
    my ($from_id, $to_id) = map { $_->cli(CLUSTER => 'MYID') } $from, $to;
    $to->cli(CLUSTER => 'SETSLOT', $slot, 'IMPORTING', $from_id);
    $from->cli(CLUSTER => 'SETSLOT', $slot, 'MIGRATING', $to_id);
    $between->();
    for my $key (split /\n/, $from->cli(CLUSTER => 'GETKEYSINSLOT', $slot, 1000)) {
        $from->cli(MIGRATE => '127.0.0.1', $to->port, $key, 0, 5000);
    }
    $between->();
    $_->cli(CLUSTER => 'SETSLOT', $slot, 'NODE', $to_id) for $to, $from, grep { $_ != $to && $_ != $from } @masters;
}


subtest 'records' => sub {
    my $nginx = gateway([port('nobody'), @masters]);
    my $other = gateway([$masters[2]]);
    wait_for(sub { told(send_at($nginx)) eq '201' }, 'a send');
    for (1 .. 20) {
        my ($k, $m) = (key, message);
        is(told(send_at($nginx, $k, $m)), 201, 'a send');
        is(replayed(send_at($other, $k, $m)), 'replayed', 'at the other gateway');
        is(told(send_at($other, $k)), '422 idempotency_key_reused unknown', 'another message');
    }
    for (1 .. 10) {
        my $m = message;
        my $sent = $nginx->post('/send', $m);
        is(told($sent), 201, 'one without a key');
        is(replayed($other->post('/send', $m)), 'replayed', 'known');
        is(replayed($other->post('/send', $m, 'Idempotency-Key' => $sent->{headers}{'idempotency-key'})), 'replayed', 'by its own key too');
    }
    cmp_ok($_->cli('DBSIZE'), '>', 3, 'records at each') for @masters;
};

subtest 'slots that move' => sub {
    my $nginx = gateway([$masters[0]]);
    wait_for(sub { told(send_at($nginx)) eq '201' }, 'a send');
    for my $n (1 .. 3) {
        my ($k, $m) = (key, message);
        is(told(send_at($nginx, $k, $m)), 201, 'a send');
        my $slot = slot_of(named($k));
        my ($from) = grep { $_->cli('KEYS', named($k)) } @masters;
        my ($to)   = grep { $_ != $from } @masters;
        moved($slot, $from, $to, sub {
            is(replayed(send_at($nginx, $k, $m)), 'replayed', 'under way: known');
        });
        is(replayed(send_at($nginx, $k, $m)), 'replayed', 'moved: known');
        is($to->cli('EXISTS', named($k)), 1, 'where it is now');
    }
    is($nginx->error_log, '', 'nothing in the log');
    is(scalar(grep { made($_) > 1 } ()), 0, 'no second message');
};

subtest 'scripts, waits and streams' => sub {
    my $nginx = gateway([$masters[1]]);
    $_->cli('SCRIPT', 'FLUSH') for @masters;
    for my $path (qw(/stream /tagged)) {
        my $body = event('message.sent');
        is($nginx->post($nginx->url($path), $body, signed($body))->{status}, 200, "$path: taken") for 1 .. 2;
    }
    my ($length) = map { $_->[0] } grep { $_->[0] =~ /^\d+$/ } map { [$_->cli('XLEN', 'events')] } @masters;
    is($length, 1, 'once');
    my $sent  = send_at($nginx);
    my $other = gateway([$masters[0]]);
    my @waits = map { $other->later(GET => "/messages/$sent->{json}{id}?wait=60&until=read") } 1 .. 2;
    my $body  = event('message.read', {messageId => $sent->{json}{id}});
    is($nginx->post($nginx->url('/hook'), $body, signed($body))->{status}, 204, 'an event');
    $api->move($sent->{json}{id}, 'read');
    is($_->result->{json}{status}, 'read', 'a wait') for @waits;
};

subtest 'a master that dies' => sub {
    my @nodes = redis_cluster;
    local @masters = @nodes;
    my $replica = redis_server(args => ['--cluster-enabled', 'yes', '--cluster-port', port('bus-replica'), '--cluster-node-timeout', 2000,
        '--cluster-config-file', 'nodes.conf']);
    $replica->cli(CLUSTER => 'MEET', '127.0.0.1', $nodes[0]->port, Chatmaid::Test::Redis::test_bus($nodes[0]));
    my $id = $nodes[0]->cli(CLUSTER => 'MYID');
    wait_for(sub { $replica->cli(CLUSTER => 'REPLICATE', $id) eq 'OK' }, 'a replica');
    wait_for(sub { $replica->cli('INFO', 'replication') =~ /master_link_status:up/ }, 'it in step');

    my @gateways = map { gateway([@nodes]) } 1, 2;
    my @known;
    while (grep { !$_->cli('DBSIZE') } @nodes) {
        push @known, [key, message];
        wait_for(sub { told(send_at($gateways[0], @{$known[-1]})) eq '201' }, 'a send');
    }
    is(told(send_at($gateways[1], @$_)), 201, 'known') for @known;
    $nodes[0]->kill('KILL');
    wait_for(sub { $replica->cli('INFO', 'replication') =~ /^role:master/m && $replica->cli(CLUSTER => 'INFO') =~ /cluster_state:ok/ }, 'the failover');
    my $from = time;
    for my $nginx (@gateways) {
        wait_for(sub { my $bad = grep { told(send_at($nginx, @$_)) ne '201' } @known; !$bad }, 'all to be known');
    }
    cmp_ok(time - $from, '<', at_most(5), 'back soon');
    is(scalar(grep { made($_->[1]) != 1 } @known), 0, 'one message each');
};

done;
