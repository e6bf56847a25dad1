# HTTP/2: streams that come in pieces, are reset or lose their connection.  Each
# send whose body has arrived is sent once, and the connection lives on.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Mojo::JSON qw(encode_json);

my $api   = sandbox;
my $nginx = nginx(
    gateway  => 'chatmaid_sender +15550100001;',
    internal => 'proxy_connect_timeout 20s;',   # many are sent at once
    server   => <<'END');
        listen 127.0.0.1:%PORT:h2% http2;
        http2_max_concurrent_streams 500;
        location = /status { stub_status; }
        location ^~ /small/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_buffer_size 1k; }
        location ^~ /tight/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_max_body_size 100; }
        location ^~ /cool/  { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_account cool; }
        location ^~ /deny/  { chatmaid_gateway /.chatmaid/; deny all; }
END

my $worker = ($nginx->workers)[0];


sub start_send ($h2, $location = 'chatmaid', $message = message) {
    my ($id, $head) = opened($h2, POST => "/$location/send", 0);
    put($h2, $head, data($id, encode_json($message)));
    return $id;
}

sub start_read ($h2, $path = '/chatmaid/account', $method = 'GET') {
    my ($id, $head) = opened($h2, $method => $path);
    put($h2, $head);
    return $id;
}

sub lives ($h2, $name) { is(answer($h2, start_read($h2))->{status}, 200, "$name: the next stream") }


my $h2 = connect_h2($nginx->port('h2'));

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
        my $body   = encode_json(message) . ' ' x ($location eq 'small' ? 5000 : 0);
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
    put($h2, $head, data($id, encode_json(message), 0), data($id, ' ' x 5000, 0));
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
        put($h2, $head, data($id, encode_json(message)), reset_($id));
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
            my $lost   = connect_h2($nginx->port('h2'));
            $api->fault($fault{$location});
            my @ids = (start_send($lost, $location));
            wait_for(sub { $api->count == $calls + 1 && ($api->requests)[-1]{ended} }, 'the first try');
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
            my $lost   = connect_h2($nginx->port('h2'));
            my $before = $api->made;
            $api->fault({hold => $when, times => 5});
            start_send($lost) for 1 .. 5;
            my ($id, $head) = opened($lost, POST => '/chatmaid/send', 0);
            put($lost, $head, data($id, encode_json(message), 0));
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
        my $storm = connect_h2($nginx->port('h2'));
        my @sent  = map { message } 1 .. 4;
        my @ids   = map { start_send($storm, 'chatmaid', $_) } @sent;
        my @texts = map { $_->{text} } @sent;
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
    });
    is(scalar(grep { $sent{$_} } keys %must), scalar keys %must, 'all are sent');
    is(scalar(grep { ($sent{$_} // 0) > 1 } keys %must, keys %may), 0, 'and nothing twice');
};

lives($h2, 'at the end');
is(($nginx->workers)[0], $worker, 'the worker is the same');
drop($h2, 'close');
ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 .*Reading: 0 Writing: 1 Waiting: 0/s }), 'no connection is left over');
done;
