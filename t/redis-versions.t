# Two versions of the module on one Redis.  Records of version 1 were hashes: the
# module understands them, and turns one into a string when it writes it.  The
# gateway of version 1 is played here, by what its scripts did.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;
my $nginx    = nginx(files => {webhook_secret => webhook_secret . "\n"}, workers => 1,
    http    => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis ' . $redis->url . ' timeout=30s fallback=reject; chatmaid_retries 0;',
    gateway => 'chatmaid_sender +15550100001;', server => <<"END");
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
        location = /hook   { chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; }
        location = /stream { chatmaid_webhook on; chatmaid_webhook_stream inbox; }
END

sub ask_for ($place, $k, $m)  { $nginx->post($nginx->url("$place/send"), $m, 'Idempotency-Key' => $k) }
sub sent ($k, $m)             { told(ask_for('/chatmaid', $k, $m)) }
sub impatient ($k, $m)        { told(ask_for('/impatient', $k, $m)) }
sub kind ($k)                 { $redis->cli('TYPE', record_of($k)) }
sub in_redis_ms ()            { my ($s, $us) = split /\n/, $redis->cli('TIME'); return 1000 * $s + int($us / 1000) }

# A record as version 1 would have left it, made of one of ours.

sub as_of_version_1 ($name, %change) {
    my %record = (%{$redis->record($name)}, version => 1, %change);
    delete @record{grep { !defined $record{$_} } keys %record};
    my $ttl = $redis->cli('PTTL', $name);
    $redis->cli('DEL', $name);
    $redis->cli('HSET', $name, %record);
    $redis->cli('PEXPIRE', $name, $ttl);
    return \%record;
}

# A send that another gateway has claimed a moment ago.
sub claimed_there ($m, %change) {
    my ($ours, $theirs) = (key, key);
    is(sent($ours, $m), 201, 'a send of ours, for its fingerprint');
    my $name = record_of($theirs);
    $redis->cli('HSET', $name, version => 1, state => 'in_flight', fingerprint => $redis->record(record_of($ours))->{fingerprint},
        begun => in_redis_ms(), owner => 'b' x 32, maybe => 0, lease => in_redis_ms() + 600_000, %change);
    $redis->cli('PEXPIRE', $name, 86_400_000);
    return $theirs;
}

subtest 'done there' => sub {
    my ($k, $m) = (key, message);
    my $first = ask_for('/chatmaid', $k, $m);
    is(told($first), 201, 'a send');
    my $record = as_of_version_1(record_of($k));
    my $again = ask_for('/chatmaid', $k, $m);
    is($again->{body}, $first->{body}, 'is replayed, byte for byte');
    is($again->{headers}{'idempotent-replayed'}, 'true', 'and says so');
    is(sent($k, message), '422 idempotency_key_reused unknown', 'another message');
    is($nginx->get("/operations/$k")->{json}{state}, 'done', 'it is looked up');
    is_deeply($redis->record(record_of($k)), $record, 'and stays a hash');
    is(made($m), 1, 'one message');
};

subtest 'under way there' => sub {
    my $m = message;
    my $k = claimed_there($m);
    is(impatient($k, $m), '409 idempotency_in_flight unknown', 'a repeat here');
    is(impatient($k, message), '422 idempotency_key_reused unknown', 'another message');
    is($nginx->get("/operations/$k")->{json}{state}, 'in_flight', 'it is looked up');

    my $gets   = sub () { $redis->cli('INFO', 'commandstats') =~ /cmdstat_hmget:calls=(\d+)/ ? $1 : 0 };
    my $before = $gets->();
    my $waiter = $nginx->later(POST => '/send', $m, 'Idempotency-Key' => $k);
    wait_for(sub { $gets->() > $before }, 'a repeat that waits');
    my $name = record_of($k);
    $redis->cli('EVAL', "redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe'); return redis.call('HSET', KEYS[1], unpack(ARGV))",
        1, $name, state => 'done', status => 201, answer => '{"success":true,"data":{"id":"msg_there"}}');
    is($waiter->result->{json}{id}, 'msg_there', 'gets the answer from there');
    is(kind($k), 'hash', 'the record is theirs still');
    is(made($m), 1, 'nothing was sent but ours');
};

subtest 'not finished there' => sub {
    for my $case (['its lease has run out', lease => 1], ['ambiguous', state => 'ambiguous', maybe => 1]) {
        my ($name, %change) = @$case;
        my $m     = message;
        my $k     = claimed_there($m, %change);
        my $begun = $redis->record(record_of($k))->{begun};
        is($nginx->get("/operations/$k")->{json}{state}, 'ambiguous', "$name: it is looked up");
        $api->fault({status => 404, json => {success => \0, message => ['who?']}});
        is(sent($k, $m), '404 not_found unknown', "$name: taken over, so that a refusal is not certain");
        is(kind($k), 'string', 'it is a string by now');
        my $record = $redis->record(record_of($k));
        is_deeply([@$record{qw(version state maybe begun)}], [2, 'ambiguous', 1, $begun], "$name: its history is kept");
        cmp_ok($redis->cli('PTTL', record_of($k)), '>', 86_000_000, "$name: and its ttl");
        is(sent($k, $m), 201, "$name: and taken over once more");
    }
};

# What the scripts of version 1 did to a record that is a string: their first
# command fails, so the gateway counts Redis as away, and changes nothing.
subtest 'there, a record of ours' => sub {
    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $held = $nginx->later(POST => '/send', $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    my $name   = record_of($k);
    my @fields = qw(version state fingerprint begun owner maybe lease answer status);
    for my $state (qw(in_flight done)) {
        my $record = $redis->cli('GET', $name);
        like($redis->cli('HMGET', $name, @fields), qr/^WRONGTYPE/, "$state: nothing is read");
        like($redis->cli('HSET', $name, state => 'done'), qr/^WRONGTYPE/, "$state: or written");
        is($redis->cli('GET', $name), $record, "$state: it is as it was");
        $api->release;
        is($held->result->{status}, 201, 'the send ends');
    }
    is(ask_for('/chatmaid', $k, $m)->{headers}{'idempotent-replayed'}, 'true', 'and is replayed here');
};

# An owner there comes too late: the record was taken over here.
subtest 'a hash that comes meanwhile' => sub {
    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $held = $nginx->later(POST => '/send', $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    as_of_version_1(record_of($k));
    $api->release;
    is($held->result->{status}, 201, 'its owner here finishes it all the same');
    is(kind($k), 'string', 'it is a string by now');
    is($redis->state_of(record_of($k)), 'done', 'and it is done');
    is(made($m), 1, 'one message');
};

subtest 'events' => sub {
    for my $path ('/hook', '/stream') {
        my $body = event('message.sent');
        my $post = sub () { code($nginx->post($nginx->url($path), $body, signed($body))) };
        $redis->cli('DEL', $_) for grep { length } split /\n/, $redis->cli('KEYS', 'chatmaid:event:*');
        is($post->(), 200, "$path: an event");
        my $mark = wait_for(sub { (grep { $redis->state_of($_) eq 'done' } split /\n/, $redis->cli('KEYS', 'chatmaid:event:*'))[0] }, 'its mark');
        is($nginx->get($nginx->url('/nothing'))->{status}, 404, 'what Redis answered has been read');
        my ($entries, $passed) = ($redis->cli('XLEN', 'inbox'), passed($receiver, $body));
        as_of_version_1($mark);
        is($post->(), 200, "$path: a repeat, which version 1 has marked");
        is_deeply([$redis->cli('XLEN', 'inbox'), passed($receiver, $body)], [$entries, $passed], "$path: is known");
    }
};

subtest 'health' => sub {
    $redis->cli('HSET', 'chatmaid:health', version => 1);
    is($nginx->get('/health')->{json}{redis}, 'up', 'with what a probe there has left');
    is($redis->cli('EXISTS', 'chatmaid:health'), 0, 'nothing is left for one there');
};

done;
