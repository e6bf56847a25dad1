#!/usr/bin/perl

# A Redis Cluster: each record is at the node that has its slot, wherever a slot
# moves and whoever becomes its master.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api     = sandbox;
my @masters = redis_cluster;
my $password = secret('password-of-the-cluster');

sub gateway ($nodes, %more) {
    state $serial = 0;
    my $params = delete $more{params} // '';
    $params .= ' timeout=5s' if $params !~ /timeout=/;
    $params .= ' fallback=reject' if $params !~ /fallback=/;
    my $scheme = delete $more{scheme} // 'redis';
    my $user   = delete $more{user} // '';
    my $hosts  = join ',', map { '127.0.0.1:' . (ref $_ ? $_->port : $_) } @$nodes;
    return nginx(name => 'gateway' . ++$serial, workers => 2, error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        files => {webhook_secret => webhook_secret . "\n", password => "$password\n"},
        http => "chatmaid_redis $scheme+cluster://$user$hosts $params; chatmaid_retries 0; chatmaid_webhook_secret_file %DIR%/webhook_secret;",
        server => <<'END', %more);
        location = /stream { chatmaid_webhook on; chatmaid_webhook_stream events; }
        location = /tagged { chatmaid_webhook on; chatmaid_webhook_stream "a{b}c"; }
        location = /hook   { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done   { return 204; }
        location = /status { chatmaid_status; }
        location ^~ /at-once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
END
}

sub send_at ($nginx, $k = key, $m = message) { $nginx->post('/send', $m, 'Idempotency-Key' => $k) }
sub slot_of ($key)                 { $masters[0]->cli(CLUSTER => 'KEYSLOT', $key) }
sub holder_of ($key, @nodes)       { (grep { $_->cli('EXISTS', $key) eq '1' } @nodes)[0] }
sub health ($nginx)                { my $answer = $nginx->get('/health'); "$answer->{status} $answer->{json}{redis}" }
sub scripts_of ($node)              { my ($calls) = $node->cli('INFO', 'commandstats') =~ /cmdstat_evalsha:calls=(\d+)/; $calls // 0 }
sub connected ($nginx)             { metrics($nginx)->{'chatmaid_redis_connected'} }
sub hooked ($nginx, $path, $body)  { $nginx->post($nginx->url($path), $body, signed($body)) }

# Keys of operations such that each of the nodes has some.
sub keys_at ($count, @nodes) {
    my %share = map { $_ => [] } @nodes;
    while (grep { @$_ < $count } values %share) {
        my $k     = key;
        my $slots = slot_of(tagged_record_of($k));
        my $index = int($slots / int(16384 / @nodes));
        push @{$share{$nodes[$index > $#nodes ? $#nodes : $index]}}, $k;
    }
    return map { splice @{$share{$_}}, 0, $count } @nodes;
}


subtest 'records' => sub {
    my $nginx = gateway([port('nobody'), @masters]);
    my $other = gateway([$masters[2]]);
    for (1 .. 20) {
        my ($k, $m) = (key, message);
        is(told(send_at($nginx, $k, $m)), 201, 'a send');
        is(replayed(send_at($other, $k, $m)), 'replayed', 'at the other gateway');
        is(told(send_at($other, $k)), '422 idempotency_key_reused unknown', 'another message');
        ok(holder_of(tagged_record_of($k), @masters), 'the name has a hash tag');
    }
    for (1 .. 10) {
        my $m    = message;
        my $sent = $nginx->post('/send', $m);
        is(told($sent), 201, 'one without a key');
        is(replayed($other->post('/send', $m)), 'replayed', 'known');
        is(replayed($other->post('/send', $m, 'Idempotency-Key' => $sent->{headers}{'idempotency-key'})), 'replayed', 'by its own key too');
    }
    cmp_ok($_->cli('DBSIZE'), '>', 3, 'records at each') for @masters;
    my $k = key;
    send_at($nginx, $k);
    is($other->get("/operations/$k")->{json}{state}, 'done', 'looked up');
    is(health($nginx), '200 up', 'health');
    my @before = map { scripts_of($_) } @masters;
    is(health($other), '200 up', 'at the other gateway');
    is(scalar(grep { scripts_of($masters[$_]) > $before[$_] } 0 .. 2), 3, 'each master was asked');
    is(connected($_), 1, 'the metric') for $nginx, $other;
    is($_->error_log, '', 'nothing in the log, though nobody is at one address of the URL') for $nginx, $other;
    $_->quit for $nginx, $other;
};

subtest 'slots that move' => sub {
    my $nginx = gateway([$masters[0]]);
    for my $n (1 .. 3) {
        my ($k, $m) = (key, message);
        is(told(send_at($nginx, $k, $m)), 201, 'a send');
        my $name   = tagged_record_of($k);
        my $from   = holder_of($name, @masters);
        my ($to)   = grep { $_ != $from } @masters;
        my $before = $to->cli('INFO', 'commandstats') =~ /cmdstat_asking:calls=(\d+)/ ? $1 : 0;
        redis_slot_move(slot_of($name), $from, $to, \@masters, sub {
            is(replayed(send_at($nginx, $k, $m)), 'replayed', 'under way: known');
        });
        cmp_ok($to->cli('INFO', 'commandstats') =~ /cmdstat_asking:calls=(\d+)/ ? $1 : 0, '>', $before, 'ASK was followed');
        is(replayed(send_at($nginx, $k, $m)), 'replayed', 'moved: known');
        is(holder_of($name, @masters), $to, 'where it is now');
    }
    is($nginx->error_log, '', 'nothing in the log');
    $nginx->quit;
};

subtest 'a stream whose slot is being moved takes events once it has been' => sub {
    my $nginx = gateway([@masters]);
    is(hooked($nginx, '/tagged', event('message.sent'))->{status}, 200, 'an event');
    my $from = holder_of('a{b}c', @masters);
    my ($to) = grep { $_ != $from } @masters;
    my $count = $from->cli('XLEN', 'a{b}c');
    my ($asked, $body) = (0, event('message.sent'));
    my $later;
    redis_slot_move(slot_of('a{b}c'), $from, $to, \@masters, sub {
        return if $asked++;
        my $told = sub { $from->cli('INFO', 'errorstats') =~ /errorstat_TRYAGAIN:count=(\d+)/ ? $1 : 0 };
        my $seen = $told->();
        $later = $nginx->later(POST => $nginx->url('/tagged'), $body, signed($body));
        wait_for(sub { $told->() > $seen + 1 }, 'it to be tried more than once') if $from->cli('INFO', 'server') =~ /redis_version:(?:7|8)/;
    });
    is($later->result->{status}, 200, 'taken');
    is(hooked($nginx, '/tagged', $body)->{status}, 200, 'and known');
    is($to->cli('XLEN', 'a{b}c'), $count + 1, 'once');
    is($nginx->error_log, '', 'nothing in the log');
    $nginx->quit;
};

subtest 'scripts, waits and streams' => sub {
    my $nginx = gateway([$masters[1]]);
    $_->cli('SCRIPT', 'FLUSH') for @masters;
    for my $path (qw(/stream /tagged)) {
        my $body = event('message.sent');
        is(hooked($nginx, $path, $body)->{status}, 200, "$path: taken") for 1 .. 2;
    }
    is(holder_of('events', @masters)->cli('XLEN', 'events'), 1, 'once');
    my ($mark) = map { split /\n/, $_->cli('KEYS', 'chatmaid:event:{events}*') } @masters;
    like($mark, qr/\Achatmaid:event:\{events\}[0-9a-f]{64}\z/, 'the mark has the tag of the stream');
    my $sent  = send_at($nginx);
    my $other = gateway([$masters[0]]);
    my @waits = map { $other->later(GET => "/messages/$sent->{json}{id}?wait=60&until=read") } 1 .. 2;
    wait_for(sub { holder_of('chatmaid:waiting', @masters) }, 'the waiters to be known');
    my $body = event('message.read', {messageId => $sent->{json}{id}});
    is(hooked($nginx, '/hook', $body)->{status}, 204, 'an event');
    is(hooked($other, '/hook', $body)->{status}, 200, 'is known at another edge');
    wait_for(sub { holder_of(note_of('', $sent->{json}{id}), @masters) }, 'a note of it');
    $api->move($sent->{json}{id}, 'read');
    is($_->result->{json}{status}, 'read', 'a wait') for @waits;
    $_->quit for $nginx, $other;
};

subtest 'TLS and a user' => sub {
    my @nodes = redis_cluster(tls => 'good');
    $_->cli('ACL', 'SETUSER', 'gateway', 'on', ">$password", '~*', '+@all') for @nodes;
    my $nginx = gateway([$nodes[0]], scheme => 'rediss', user => 'gateway@', params => 'ca_file=%CA% password_file=%DIR%/password');
    for my $k (keys_at(1, @nodes)) {
        is(told(send_at($nginx, $k)), 201, 'a send');
        ok(holder_of(tagged_record_of($k), @nodes), 'its record');
    }
    is($nginx->error_log, '', 'nothing in the log');
    $nginx->quit;
};

subtest 'what is no Cluster, and nobody' => sub {
    my $alone = redis_server;
    my $nginx = gateway([$alone]);
    wait_for(sub { $nginx->logged(qr/is away: it answers "ERR This instance has cluster support disabled": redis\+cluster:\/\/ is for a Redis Cluster; meanwhile sends whose records/) }, 'the line');
    wait_for(sub { told(send_at($nginx)) eq '503 store_unavailable unknown' }, 'each worker to know it') for 1 .. 5;
    is(told(send_at($nginx)), '503 store_unavailable unknown', 'a send');
    is(health($nginx), '503 down', 'health');
    $nginx->quit;
    $nginx = gateway([map { port("nobody$_") } 1, 2]);
    wait_for(sub { (() = $nginx->logged(qr/\[error\].*is away: can't connect .*; meanwhile sends whose records it has are answered 503/)) == 2 }, 'two lines');
    is(connected($nginx), 0, 'the metric');
    $nginx->quit;
};

subtest 'a master that dies, its replica, and what is told to the others' => sub {
    my @nodes   = redis_cluster(args => ['--cluster-require-full-coverage', 'no']);
    my $replica = redis_cluster_replica($nodes[0]);
    my @gateways = map { gateway([@nodes]) } 1, 2;

    my @known = map { [$_, message] } keys_at(2, @nodes);
    is(told(send_at($gateways[$_ & 1], @{$known[$_]})), 201, 'a send') for 0 .. $#known;
    is(replayed(send_at($gateways[0], @$_)), 'replayed', 'known') for @known;
    $replica->cli('CONFIG', 'SET', 'cluster-replica-no-failover', 'yes');
    $nodes[0]->kill('KILL');

    for my $nginx (@gateways) {
        wait_for(sub { told(send_at($nginx, @{$known[0]})) eq '503 store_unavailable unknown' }, 'a send whose record it has');
        is(told(send_at($nginx, @{$known[-1]})), 201, 'others go on');
        is(health($nginx), '503 down', 'health');
        is(connected($nginx), 0, 'the metric');
    }
    $replica->cli('CONFIG', 'SET', 'cluster-replica-no-failover', 'no');
    wait_for(sub { $replica->cli('INFO', 'replication') =~ /^role:master/m }, 'the failover');
    my $from = time;
    for my $nginx (@gateways) {
        wait_for(sub { !grep { told(send_at($nginx, @$_)) ne '201' } @known }, 'all to be known');
        wait_for(sub { health($nginx) eq '200 up' }, 'health');
        wait_for(sub { connected($nginx) == 1 }, 'the metric');
    }
    cmp_ok(time - $from, '<', at_most(5), 'back soon');
    is(scalar(grep { made($_->[1]) != 1 } @known), 0, 'one message each');
    my $dead = $nodes[0]->port;
    for my $nginx (@gateways) {
        wait_for(sub { $nginx->logged(qr/\[error\].*"127\.0\.0\.1:$dead" is back at other nodes, which have its slots now/) }, 'the line');
        is(scalar(() = $nginx->logged(qr/is away/)), 1, 'one line that it is away');
        is(scalar(() = $nginx->logged(qr/is back/)), 1, 'one that it is back');
        $nginx->quit;
    }
};

subtest 'records settled meanwhile are told to the masters that are back' => sub {
    my @nodes = redis_cluster(args => ['--cluster-require-full-coverage', 'no']);
    my $nginx = gateway([@nodes], params => 'timeout=500ms fallback=zone');
    my @known = keys_at(5, @nodes);
    my ($first, $second) = ([@known[0 .. 4]], [@known[5 .. 9]]);
    my $done = sub ($node, $k) { $node->state_of(tagged_record_of($k)) eq 'done' };
    for my $node (@nodes[0, 1]) {
        is(told(send_at($nginx)), 201, 'calm') for 1 .. 4;
        $node->kill('STOP');
    }
    is(told(send_at($nginx, $_)), 201, 'a send') for @$first, @$second;
    $nodes[1]->kill('CONT');
    wait_for(sub { !grep { !$done->($nodes[1], $_) } @$second }, 'what the second has, behind what the first has');
    $nodes[0]->kill('CONT');
    wait_for(sub { !grep { !$done->($nodes[0], $_) } @$first }, 'what the first has');
    $nginx->quit;
};

done;
