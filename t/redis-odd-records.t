# Records that were written into Redis by something else than the module: none is
# trusted, each counts as one of another version.  A send is refused and the
# record stays as it is; an event is handed on, and marked in the zone.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(encode_json);

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;
my $url      = $redis->url;
my $nginx    = nginx(files => {webhook_secret => webhook_secret . "\n"},
    http    => "chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis $url timeout=30s; chatmaid_retries 0;",
    gateway => 'chatmaid_sender +15550100001;', server => <<"END");
        listen 127.0.0.1:%PORT:h2% http2;
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
        location = /hook   { chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; }
        location = /stream { chatmaid_webhook on; chatmaid_webhook_stream inbox; }
END

# All that is there, for a comparison.
sub dump_of ($key) { $redis->cli('GET', $key) . ' ' . join ', ', $redis->cli('HMGET', $key, qw(version state fingerprint begun owner lease maybe status answer)) }

# Writes a record whole, less the fields that are undef; as a hash: as version 1
# was.
sub plant ($key, $form, %fields) {
    delete @fields{grep { !defined $fields{$_} } keys %fields};
    $redis->cli('DEL', $key) if $form eq 'hash';
    $redis->cli($form eq 'hash' ? ('HSET', $key, %fields) : ('SET', $key, record_text(%fields)));
    return dump_of($key);
}

# Changes one field of a record that is there.
sub spoil ($key, $field, $value) { plant($key, 'string', %{$redis->record($key)}, $field => $value) }

# What was done, is in flight, or ambiguous, each with a record as the module
# writes it, of which a test then changes a field.

my %genuine;
my %sent = map { $_ => {key => key, message => native_message} } qw(done in_flight ambiguous);

sub send_it ($case, %how) {
    return $nginx->later(POST => '/v1/messages/send', $case->{message}, 'Idempotency-Key' => $case->{key});
}

is(send_it($sent{done})->result->{status}, 201, 'a send');
$api->fault(no_answer('before'));
is(send_it($sent{ambiguous})->result->{status}, 502, 'an ambiguous one');
$api->fault({hold => 'before'});
my $held = send_it($sent{in_flight});
$api->wait_held;
$genuine{$_} = $redis->record(record_of($sent{$_}{key})) for keys %sent;
is(join(' ', map { $genuine{$_}{state} } sort keys %genuine), 'ambiguous done in_flight', 'three records');
$api->release;
$held->result;

# A copy of that record under another key, which this gateway has never heard of.
sub planted ($form, $state, %change) {
    my $key = key;
    return ($key, plant(record_of($key), $form, %{$genuine{$state}}, version => $form eq 'hash' ? 1 : 2, %change));
}

# Over HTTP/1.1 and HTTP/2, on both faces.
sub asked ($key, $message) {
    my $simple = {to => $message->{to}, text => $message->{content}, from => $message->{fromPhoneId}};
    my @said   = map { my ($path, $body) = @$_; told($nginx->post($nginx->url($path), $body, 'Idempotency-Key' => $key)) }
        ['/impatient/send', $simple], ['/impatient/v1/messages/send', $message];
    my $h2 = connect_h2($nginx->port('h2'));
    for (['/impatient/send', $simple], ['/impatient/v1/messages/send', $message]) {
        my ($path, $body) = @$_;
        my ($id, $head) = opened($h2, POST => $path, 0, ['idempotency-key', $key]);
        put($h2, $head, data($id, encode_json($body)));
        push @said, told(answer($h2, $id));
    }
    drop($h2, 'close');
    my %times;
    $times{$_ =~ /\A(\d+)/ ? $1 : $_}++ for @said;
    return join ', ', map { "$_ x $times{$_}" } sort keys %times;
}

my $long = 'x' x (4 * 1024 * 1024 + 1);
my @odd  = (
    (map { [done => (status => $_)] } undef, '', 'abc', '-1', '0', '99', '199', '300', '404', '2010', '99999999999', ' 201', '201 ',
        "201\r\n", "201\0", '2e2', '0xC9', '+201', '201.0'),
    (map { [done => (answer => $_)] } undef, '', 'null', '[]', '{', '{"success":true}', '{"success":true,"data":{}}',
        '{"success":true,"data":{"id":7}}', '{"success":true,"data":{"id":""}}', '{"success":false,"data":{"id":"msg_1"}}',
        '{"success":true,"data":{"id":"msg_1"}', "\0", $long),
    (map { [done => (state => $_)] } undef, '', 'Done', 'done ', 'finished', "done\0"),
    (map { my $state = $_; map { [$state => (version => $_)] } undef, '', '0', '3', '1.0', '02', "2\0", "1\0", 'one' } sort keys %genuine),
    (map { my $state = $_; map { [$state => (fingerprint => $_)] } undef, '', 'abc', uc $genuine{$_}{fingerprint}, 'g' x 64, 'a' x 65 } sort keys %genuine),
    (map { my $state = $_; map { [$state => (begun => $_)] } undef, '', 'now', '-1', '1e12', '0x10', 'nan', '9' x 16 } sort keys %genuine),
    (map { my $state = $_; map { [$state => (owner => $_)] } undef, '', 'me', 'A' x 32, 'a' x 33 } qw(ambiguous in_flight)),
    (map { my $state = $_; map { [$state => (lease => $_)] } undef, '', 'later', '-1', '1e99', 'inf', '0x1p99', '9' x 16 } qw(ambiguous in_flight)),
    (map { my $state = $_; map { [$state => (maybe => $_)] } undef, '', '2', 'yes', '00' } qw(ambiguous in_flight)),
);

sub shown ($value) {
    return 'missing' unless defined $value;
    return length $value > 50 ? length($value) . ' bytes' : '"' . $value =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger . '"';
}

# With a space behind it, it is the answer that begins with one.
sub odd_of ($form) { grep { $form eq 'hash' || ($_->[2] // '') ne '201 ' } @odd }

for my $form (qw(string hash)) {
    subtest "sends, the record a $form" => sub {
        my $sends = $api->sends;
        for my $case (odd_of($form)) {
            my ($state, $field, $value) = @$case;
            my $name = "$state: $field " . shown($value);
            my ($key, $as_it_was) = planted($form, $state, $field => $value);
            is(asked($key, $sent{$state}{message}), '503 x 4', $name);
            is(dump_of(record_of($key)), $as_it_was, "$name: stays as it is");
        }
        is($api->sends, $sends, 'nothing was sent');
        ok(scalar($nginx->logged(qr/\[error\].*chatmaid can't record a send: its record (?:is of another version|does not hold an answer)/)), 'the log says why');

        my ($key) = planted($form, 'done');
        is(asked($key, $sent{done}{message}), '201 x 4', 'a whole one is an answer');
        ($key) = planted($form, 'in_flight', lease => 1000 * (time + 3600));
        is(asked($key, $sent{in_flight}{message}), '409 x 4', 'or a send under way');
        is($api->sends, $sends, 'and nothing was sent');
        ($key) = planted($form, 'ambiguous');
        is(asked($key, $sent{ambiguous}{message}), '201 x 4', 'or is taken over');
    };
}

subtest 'what is neither a string nor a hash' => sub {
    my $sends = $api->sends;
    for my $type ([list => RPUSH => 'in_flight'], [set => SADD => 'done'], [zset => ZADD => 1, 'done'], [stream => XADD => '*', 'state', 'done']) {
        my ($name, $command, @words) = @$type;
        my $key = key;
        $redis->cli($command, record_of($key), @words);
        is(asked($key, $sent{done}{message}), '503 x 4', "a $name");
        is($redis->cli('TYPE', record_of($key)), $name, "a $name: stays as it is");
    }
    is($api->sends, $sends, 'nothing was sent');
    is(scalar($nginx->logged(qr/can't keep records/)), 0, 'Redis does not count as away for it');
};

subtest 'sends without a key' => sub {
    for my $case (grep { $_->[1] ne 'answer' } odd_of('string')) {
        my ($state, $field, $value) = @$case;
        my $m      = message;
        my $before = join ' ', $redis->cli(KEYS => 'chatmaid:op:*');
        $nginx->post('/send', $m);
        my ($name) = grep { index($before, $_) < 0 } split /\n/, $redis->cli(KEYS => 'chatmaid:op:*');
        my $real      = $redis->record($name);
        my $as_it_was = plant($name, 'string', %{$genuine{$state}}, fingerprint => $real->{fingerprint}, $field => $value);
        is(told($nginx->post('/send', $m)), '503 store_unavailable unknown', "$state: $field " . shown($value));
        is(dump_of($name), $as_it_was, 'stays as it is');
    }
};

# The record is changed while its send is under way.
subtest 'settled' => sub {
    my %end = (finished => [undef, 201], ambiguous => [no_answer('before'), 502],
        refused => [{status => 404, json => {success => \0, message => ['who?']}}, 404]);
    for my $end (sort keys %end) {
        my ($fault, $status) = @{$end{$end}};
        for my $change ([state => 'odd'], [owner => undef], [lease => 'odd'], [maybe => 'odd'], [begun => undef]) {
            my ($field, $value) = @$change;
            my ($k, $m) = (key, message);
            $api->fault({hold => 'before', %{$fault // {}}});
            my $pending = $nginx->later(POST => '/send', $m, 'Idempotency-Key' => $k);
            $api->wait_held;
            my $as_it_was = spoil(record_of($k), $field, $value);
            $api->release;
            is($pending->result->{status}, $status, "$end, $field " . shown($value) . ': answered');
            is(dump_of(record_of($k)), $as_it_was, 'the record is as it was');
        }
    }
};

sub hooked ($path, $body) { code($nginx->post($nginx->url($path), $body, signed($body))) }
sub marks () { grep { length } split /\n/, $redis->cli('KEYS', 'chatmaid:event:*') }

sub mark_of ($path, $body) {
    $redis->cli('DEL', $_) for marks;
    is(hooked($path, $body), 200, 'an event');
    my $mark = wait_for(sub { (grep { $redis->state_of($_) eq 'done' } marks)[0] }, 'its mark');

    # Until the worker has read what Redis answered, the zone has a mark too.
    # Whatever comes to that worker now is read later.
    is($nginx->get($nginx->url('/nothing'))->{status}, 404, 'another request');
    return $mark;
}

subtest 'marks of events' => sub {
    for my $case ([status => 'abc'], [status => '-1'], [status => undef], [status => '300'], [state => 'delivered'], [state => undef],
        [version => '3'], [version => undef], [fingerprint => 'x'], [fingerprint => undef], [begun => 'x'], [begun => undef], [answer => undef])
    {
        my ($field, $value) = @$case;
        my $name = "$field " . shown($value);

        my $body = event('message.sent');
        my $mark = mark_of('/hook', $body);
        my $as_it_was = spoil($mark, $field, $value);
        is(hooked('/hook', $body), 200, "$name: a repeat") for 1 .. 3;
        is(passed($receiver, $body), 2, "$name: is handed on once, and known from then on");
        is(dump_of($mark), $as_it_was, "$name: the mark is as it was");

        $body = event('message.sent');
        $mark = mark_of('/stream', $body);
        my $entries = $redis->cli('XLEN', 'inbox');
        is(hooked('/stream', $body), 200, 'a repeat for the stream');
        is($redis->cli('XLEN', 'inbox'), $entries, 'is known');
        $as_it_was = spoil($mark, $field, $value);
        is(hooked('/stream', $body), 200, "$name: a repeat for the stream");
        is($redis->cli('XLEN', 'inbox'), $entries + 1, "$name: is added, for want of a mark");
        is(dump_of($mark), $as_it_was, "$name: the mark is as it was");
    }
};

# A note only makes those who wait ask earlier.
subtest 'notes' => sub {
    my @waits;
    for my $note (undef, '', 'x', 'x' x 16, "\0" x 16, 'A' x 16, '-' x 16, '0' x 16, 'f' x 17, 'f' x 100_000) {
        my $id = $nginx->post('/send', message)->{json}{id};
        $redis->cli(defined $note ? ('SET', note_of('', $id), $note) : ('HSET', note_of('', $id), 'a', 'b'));
        push @waits, [shown($note), $nginx->later(GET => "/messages/$id?wait=3&until=read")];
    }
    is($_->[1]->result->{status}, 200, "$_->[0]: a wait ends") for @waits;
};

# The module would not ask for it: but what it asks for must not rely on that.
subtest 'a refused send whose record has changed meanwhile removes nothing' => sub {
    my %change = (maybe => 1, owner => 'f' x 32);
    my %left   = (maybe => 'ambiguous', owner => 'in_flight');
    for my $field (sort keys %change) {
        my ($k, $m) = (key, message);
        $api->fault({hold => 'before', status => 400, json => {success => \0, message => ['no']}});
        my $refused = later(POST => '/send', $m, 'Idempotency-Key' => $k);
        $api->wait_held;
        is(length $redis->record(record_of($k))->{$field}, length $change{$field}, "$field: has this form");
        spoil(record_of($k), $field => $change{$field});
        $api->release;
        is(told($refused->result), '400 invalid_request unknown', "$field: a refusal");
        is($redis->record(record_of($k))->{state}, $left{$field}, "$field: its record is $left{$field}");
    }
};

done;
