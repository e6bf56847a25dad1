# HTTP/2: streams that come in pieces, are reset or lose their connection.  Each
# send whose body has arrived is sent once, and the connection lives on.

use Chatmaid::Test;
use IO::Select;
use IO::Socket::IP;
use Mojo::JSON qw(decode_json);
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

my $api   = sandbox;
my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    server  => <<'END');
        listen 127.0.0.1:%PORT:h2% http2;
        http2_max_concurrent_streams 500;
        location = /status { stub_status; }
        location ^~ /small/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_buffer_size 1k; }
        location ^~ /tight/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_max_body_size 100; }
        location ^~ /cool/  { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_account cool; }
        location ^~ /deny/  { chatmaid_gateway /.chatmaid/; deny all; }
END

my $worker = ($nginx->workers)[0];
my $serial = 0;

use constant {DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8};
use constant {END_STREAM => 1, END_HEADERS => 4, PADDED => 8, ACK => 1};


# --- A client that does just what it is told (RFC 9113) ----------------------

sub frame ($type, $flags, $id, $payload = '') {
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id) . $payload;
}

# RFC 7541: literals without indexing and Huffman codes; lengths below 127.
sub fields (@fields) { join '', map { my $f = $_; "\0" . join '', map { pack('C/a*', $_) } @$f } @fields }

sub connect_h2 () {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $nginx->port('h2')) or die "connect: $@";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    my $h2 = {socket => $socket, next => 1, streams => {}, buffer => ''};
    put($h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0));
    return $h2;
}

sub put ($h2, @frames) {
    my $bytes = join '', @frames;
    while (length $bytes) { substr $bytes, 0, syswrite($h2->{socket}, $bytes) // die("write: $!"), '' }
}

# The frames of a request, and its stream.
sub opened ($h2, $method, $path, $end = 1, @more) {
    my $id = $h2->{next};
    $h2->{next} += 2;
    $h2->{streams}{$id} = {body => ''};
    return ($id, frame(HEADERS, END_HEADERS | ($end ? END_STREAM : 0), $id, fields([':method', $method], [':scheme', 'http'],
        [':path', $path], [':authority', 'localhost'], $end ? () : ['content-type', 'application/json'], @more)));
}

sub message ()       { '{"to":"+15550100099","text":"Your table is ready, ' . ++$serial . '"}' }
sub reset_ ($id)     { frame(RST_STREAM, 0, $id, pack 'N', 8) }
sub data ($id, $bytes, $end = 1) { frame(DATA, $end ? END_STREAM : 0, $id, $bytes) }

sub start_send ($h2, $location = 'chatmaid') {
    my ($id, $head) = opened($h2, POST => "/$location/send", 0);
    put($h2, $head, data($id, message));
    return $id;
}

sub start_read ($h2, $path = '/chatmaid/account', $method = 'GET') {
    my ($id, $head) = opened($h2, $method => $path);
    put($h2, $head);
    return $id;
}

# Reads frames until the stream has ended; its status and body.
sub answer ($h2, $id) {
    my $stream = $h2->{streams}{$id};
    my $select = IO::Select->new($h2->{socket});
    until ($stream->{ended}) {
        take($h2) and next;
        $select->can_read(40) && sysread $h2->{socket}, $h2->{buffer}, 65536, length $h2->{buffer}
            or return {status => 0, body => '', json => undef};
    }
    return {%$stream, json => scalar eval { decode_json($stream->{body}) }};
}

sub take ($h2) {
    return 0 if length $h2->{buffer} < 9;
    my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $h2->{buffer};
    my $length = $high * 65536 + $low;
    return 0 if length $h2->{buffer} < 9 + $length;

    my $payload = substr substr($h2->{buffer}, 0, 9 + $length, ''), 9;
    my $stream  = $h2->{streams}{$id} // {};
    put($h2, frame(SETTINGS, ACK, 0)) if $type == SETTINGS && !($flags & ACK);
    put($h2, frame(PING, ACK, 0, $payload)) if $type == PING && !($flags & ACK);
    $stream->{body} .= $payload         if $type == DATA;
    $stream->{status} = status($payload) if $type == HEADERS;
    $stream->{ended} = 1 if $type == RST_STREAM || ($type == DATA || $type == HEADERS) && $flags & END_STREAM;
    return 1;
}

# It comes first: indexed, or a literal of three digits.
sub status ($block) {
    $block =~ s/\A[\x20-\x3f]+//;
    my %indexed = ("\x88" => 200, "\x8c" => 400, "\x8d" => 404, "\x8e" => 500);
    return $indexed{substr $block, 0, 1} // substr $block, 2, 3;
}

sub drop ($h2, $how) {
    setsockopt $h2->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $how eq 'reset';
    put($h2, frame(GOAWAY, 0, 0, pack 'NN', 0, 0)) if $how eq 'goaway';
    close $h2->{socket};
}

sub lives ($h2, $name) { is(answer($h2, start_read($h2))->{status}, 200, "$name: the next stream") }


my $h2 = connect_h2;

subtest 'requests' => sub {
    my $sent = answer($h2, start_send($h2));
    is($sent->{status}, 201, 'a send');
    my $read = answer($h2, start_read($h2, "/chatmaid/messages/$sent->{json}{id}"));
    is($read->{status}, 200, 'a read');
    is($read->{json}{id}, $sent->{json}{id}, 'of the message');
    my $head = answer($h2, start_read($h2, '/chatmaid/account', 'HEAD'));
    is("$head->{status} $head->{body}", '200 ', 'HEAD');

    for my $case (['/chatmaid/send', 405], ['/chatmaid/nothing', 404], ['/deny/account', 403], ['/chatmaid/messages/%2F', 400]) {
        my ($path, $status) = @$case;
        my $answer = answer($h2, start_read($h2, $path));
        is("$answer->{status} $answer->{json}{status}", "$status $status", "$path: a problem");
    }
    for my $case (['deny', 403, 1], ['deny', 403, 0], ['tight', 413, 0], ['nowhere', 404, 1]) {
        my ($location, $status, $end) = @$case;
        my ($id, $head) = opened($h2, POST => "/$location/send", 0);
        put($h2, $head, data($id, ' ' x 200, $end));
        my $answer = answer($h2, $id);
        is($answer->{status}, $status, "$location: refused with a body");
        is($answer->{json}{status}, $status, "$location: a problem") unless $location eq 'nowhere';
        put($h2, reset_($id)) unless $end;
        lives($h2, $location);
    }
};

subtest 'a body in many frames, without a length' => sub {
    for my $location ('chatmaid', 'small') {
        my $body   = message . ' ' x ($location eq 'small' ? 5000 : 0);
        my $before = $api->made;
        my ($id, $head) = opened($h2, POST => "/$location/send", 0);
        put($h2, $head);
        put($h2, data($id, $_, 0)) for unpack $location eq 'small' ? '(a100)*' : '(a1)*', $body;
        put($h2, data($id, '', 0), frame(DATA, PADDED, $id, "\x04    "), data($id, ''));
        is(answer($h2, $id)->{status}, 201, "$location: sent");
        is($api->made, $before + 1, "$location: once");
    }
};

subtest 'several streams at once' => sub {
    my $before = $api->made;
    $api->fault({hold => 'before', times => 20});
    my @ids = map { start_send($h2) } 1 .. 20;
    $api->wait_held(20);
    lives($h2, 'meanwhile');
    put($h2, map { reset_($_) } @ids[0 .. 4]);
    lives($h2, 'five are reset');
    $api->release;
    is(answer($h2, $_)->{status}, 201, "stream $_") for @ids[5 .. 19];
    ok(wait_for(sub { $api->made == $before + 20 }), 'all are sent');
};

subtest 'a stream is reset' => sub {
    my $before = $api->made;
    my ($id, $head) = opened($h2, POST => '/chatmaid/send', 0);
    put($h2, $head, reset_($id));
    lives($h2, 'before its body');
    ($id, $head) = opened($h2, POST => '/small/send', 0);
    put($h2, $head, data($id, message, 0), data($id, ' ' x 5000, 0));
    lives($h2, 'while its body comes');
    put($h2, reset_($id));
    lives($h2, "before its body's end");
    is($api->made, $before, 'nothing was sent');

    for my $when ('before', 'after') {
        $api->fault({hold => $when});
        $id = start_send($h2);
        $api->wait_held;
        put($h2, reset_($id));
        lives($h2, "held, $when");
        $api->release;
        ok(wait_for(sub { $api->made == $before + 1 }), "held, $when: sent");
        $before++;
        lives($h2, "released, $when");

        $api->fault({hold => $when, match => {path => '/v1/phone-numbers'}});
        $id = start_read($h2, '/chatmaid/phones');
        $api->wait_held;
        put($h2, reset_($id));
        lives($h2, "a read, held, $when");
        $api->release;
        lives($h2, "a read, released, $when");
    }

    $api->fault({drip => {bytes => 20, every => 2}});
    $id = start_send($h2);
    wait_for(sub { $api->made == $before + 1 });
    put($h2, reset_($id));
    lives($h2, 'within the answer');

    $id = start_send($h2);
    is(answer($h2, $id)->{status}, 201, 'answered');
    put($h2, reset_($id));
    lives($h2, 'after the answer');

    # With its last frame: nginx may see the reset before it has read the body.
    for my $n (1 .. 5) {
        ($id, $head) = opened($h2, POST => '/chatmaid/send', 0);
        put($h2, $head, data($id, message), reset_($id));
        lives($h2, "together with its body's end, $n");
    }
    cmp_ok($api->made, '<=', $before + 7, "together with its body's end: sent once, or not");
};

# Nothing is under way then but a timer: of a retry, or of a whole account.
subtest 'in a pause' => sub {
    my %fault = (chatmaid => {status => 503, headers => {'Retry-After' => 1}},
        cool => {status => 429, json => {success => \0, message => ['slow down'], retryAfter => 1}});
    for my $location (sort keys %fault) {
        for my $how ('stream', 'close', 'reset') {
            my $name   = "$location, $how";
            my $made   = $api->made;
            my $calls  = $api->count;
            my $lost   = connect_h2;
            $api->fault($fault{$location});
            my @ids = (start_send($lost, $location));
            wait_for(sub { $api->count == $calls + 1 && ($api->requests)[-1]{ended} }, 15, 'the first try');
            push @ids, start_send($lost, $location), start_read($lost, "/$location/account");
            lives($lost, "$name: and it");
            $how eq 'stream' ? put($lost, map { reset_($_) } @ids) : drop($lost, $how);
            lives($lost, $name) if $how eq 'stream';
            ok(wait_for(sub { $api->made == $made + 2 }), "$name: both are sent");
            lives($h2, "$name: another connection's");
        }
    }
};

subtest 'a connection is lost' => sub {
    for my $how ('close', 'reset', 'goaway') {
        for my $when ('before', 'after') {
            my $lost   = connect_h2;
            my $before = $api->made;
            $api->fault({hold => $when, times => 5});
            start_send($lost) for 1 .. 5;
            my ($id, $head) = opened($lost, POST => '/chatmaid/send', 0);
            put($lost, $head, data($id, message, 0));
            $api->wait_held(5);
            drop($lost, $how);
            lives($h2, "$how, held $when, another connection's");
            $api->release;
            ok(wait_for(sub { $api->made == $before + 5 }), "$how, held $when: all that had arrived are sent");
        }
    }
};

# Whatever the moment: what had arrived is sent, and nothing twice.
subtest 'a storm' => sub {
    my $rounds = volume(100, 10);
    my (%must, %may);
    for my $round (1 .. $rounds) {
        my $storm = connect_h2;
        my @ids   = map { start_send($storm) } 1 .. 4;
        my @texts = map { 'Your table is ready, ' . ($serial - 4 + $_) } 1 .. 4;
        answer($storm, $ids[$round % 4]) if $round % 3 == 0;
        my $reset = $round % 2 ? 2 : 0;
        put($storm, map { reset_($_) } @ids[0 .. $reset - 1]) if $reset;
        $may{$_} = 1  for @texts[0 .. $reset - 1];
        $must{$_} = 1 for @texts[$reset .. 3];
        answer($storm, $ids[2]) if $round % 5 == 0;
        lives($storm, "round $round");
        drop($storm, (qw(close reset goaway))[$round % 3]);
    }

    my %sent;
    wait_for(sub {
        %sent = ();
        $sent{$_->{content}}++ for $api->messages;
        !grep { !$sent{$_} } keys %must;
    }, 30);
    is(scalar(grep { $sent{$_} } keys %must), scalar keys %must, 'all are sent');
    is(scalar(grep { ($sent{$_} // 0) > 1 } keys %must, keys %may), 0, 'and nothing twice');
};

lives($h2, 'at the end');
is(($nginx->workers)[0], $worker, 'the worker is the same');
drop($h2, 'close');
ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 .*Reading: 0 Writing: 1 Waiting: 0/s }), 'no connection is left over');
done;
