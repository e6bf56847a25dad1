# Chatmaid's name with "resolve" in the upstream block: calls follow its address
# without a reload, to a server that is verified by the same name.

use Chatmaid::Test;
use Chatmaid::Test::Dns;
use Chatmaid::Test::Nginx;

plan(skip_all => 'nginx has "resolve" in an upstream block since 1.27.3')
    if Chatmaid::Test::Nginx::version() lt v1.27.3;

my $CHATMAID = 'developers-api.chatmaid.net';
my $port     = port('chatmaid');

# Servers on one port of several addresses.
sub at ($host, %option) { sandbox(name => "at-$host", host => $host, port => $port, %option) }

sub gateway ($dns, %more) {
    state $serial = 0;
    return nginx(
        name     => 'gateway' . ++$serial,
        workers  => 2,
        key      => live_key,
        http     => 'chatmaid_sender +15550100001; chatmaid_retries ' . ($more{retries} // 0) . '; chatmaid_timeout 2m;'
            . ' resolver ' . $dns->address . ' valid=1s; resolver_timeout 1s;',
        upstream => "zone chatmaid_api 256k; server $CHATMAID:$port resolve max_fails=0; keepalive 32;",
    );
}

sub sent ($m = message) { told(post('/send', $m, 'Idempotency-Key' => key)) }

# Sends until one is answered so.
sub comes ($want, $name) {
    my $m;
    wait_for(sub { sent($m = message) eq $want }, $name);
    return $m;
}

# Sends until one arrives there: each has been answered 201.
sub arrives ($there, $name) {
    my @others;
    wait_for(sub {
        my $told = sent(my $m = message);
        push @others, $told if $told ne '201';
        made_at($there, $m);
    }, $name);
    is("@others", '', "$name: no send failed on the way");
}

sub made_at ($there, $m) { scalar messages_of($m, $there) }
sub tries ($there, $m)   { sends_of($m, $there) }

# So many idle connections to a server.
sub keep ($there, $count) {
    $there->fault({hold => 'before', times => $count, match => {path => '/v1/account'}});
    my @reads = map { later(GET => '/account') } 1 .. $count;
    $there->wait_held($count);
    $there->release;
    is(join(' ', map { $_->result->{status} } @reads), join(' ', (200) x $count), "$count connections are kept");
}

my ($old, $new) = (at('127.0.0.2'), at('127.0.0.3'));


subtest 'an address that changes' => sub {
    my $dns   = dns_server($CHATMAID => ['127.0.0.2']);
    my $nginx = gateway($dns);
    my @pids  = $nginx->workers;
    comes('201', 'the first send');
    keep($old, 8);
    my $before = $old->made;

    # This one is under way meanwhile.
    $old->fault({hold => 'before'});
    my $m    = message;
    my $held = later(POST => '/send', $m);
    $old->wait_held;

    $dns->say($CHATMAID => ['127.0.0.3']);
    arrives($new, 'a send at the new address');

    my $at_old = $old->count;
    is(join(' ', map { sent } 1 .. 20), join(' ', (201) x 20), 'as the next ones');
    is($old->count, $at_old, 'the kept connections to the old one are not used any more');

    $old->release;
    is(told($held->result), 201, 'the send that was under way is answered');
    is(made_at($old, $m) . made_at($new, $m), '10', 'by the old one alone');
    is(join(' ', $nginx->workers), "@pids", 'the workers are the same');
    is($new->last->{sni}, $CHATMAID, 'the name is that of TLS');
    $nginx->quit;
};

subtest 'a retry goes to the new address' => sub {
    my $dns   = dns_server($CHATMAID => ['127.0.0.2']);
    my $nginx = gateway($dns, retries => 2);
    comes('201', 'the first send');

    $old->fault({hold => 'before', %{no_answer('after')}});
    my $m    = message;
    my $held = later(POST => '/send', $m, 'Idempotency-Key' => key);
    $old->wait_held;
    $dns->say($CHATMAID => ['127.0.0.3']);
    arrives($new, 'a send at the new address');
    $old->release;

    is(told($held->result), 201, 'a send whose answer was lost');
    my @tries = (tries($old, $m), tries($new, $m));
    is(scalar @tries, 2, 'a try at each address');
    is($tries[0]{body}, $tries[1]{body}, 'with the same Chatmaid key');
    like($tries[0]{body}, qr/"idempotencyKey":"/, 'which it has');
    is($tries[1]{sni}, $CHATMAID, 'to the same name');
    $nginx->quit;
};

subtest 'kept connections to a server that is gone' => sub {
    my $dns   = dns_server($CHATMAID => ['127.0.0.2']);
    my $nginx = gateway($dns);
    comes('201', 'the first send');
    keep($old, 8);
    $old->kill('KILL');
    wait_for(sub { !$old->alive }, 'its end');

    is(sent(my $m = message), '502 upstream_error not_sent', 'nothing is sent');
    $dns->say($CHATMAID => ['127.0.0.3']);
    comes('201', 'a send without a reload');
    is(join(' ', map { sent } 1 .. 20), join(' ', (201) x 20), 'as the next ones');
    is(sent($m), 201, 'so is the one that failed');
    is(made_at($new, $m), 1, 'one message');
    $old->start;
    $nginx->quit;
};

subtest 'a name that leads elsewhere' => sub {
    my $wrong = at('127.0.0.4', cert => 'wrong');
    my $other = at('127.0.0.5', cert => 'foreign');
    my $dns   = dns_server($CHATMAID => ['127.0.0.3']);
    my $nginx = gateway($dns);
    comes('201', 'the first send');
    keep($new, 8);

    for my $case (['127.0.0.4', 'another name'], ['127.0.0.5', 'an authority that is not trusted']) {
        my ($host, $name) = @$case;
        $dns->say($CHATMAID => [$host]);
        comes('502 upstream_error not_sent', 'a refusal');
        is(join(' | ', map { sent } 1 .. 4), join(' | ', ('502 upstream_error not_sent') x 4), "$name: nothing is sent");
    }
    is($_->count, 0, $_->name . ' was not asked for anything') for $wrong, $other;

    $dns->say($CHATMAID => ['127.0.0.3']);
    comes('201', 'a send once the name leads home');
    $_->stop for $wrong, $other;
    $nginx->quit;
};

subtest 'DNS that fails' => sub {
    for my $how (qw(servfail silence)) {
        my $dns   = dns_server($CHATMAID => ['127.0.0.2']);
        my $nginx = gateway($dns);
        comes('201', 'the first send');
        $dns->say($CHATMAID => $how);
        wait_for(sub { $nginx->logged(qr/\Q$CHATMAID\E could not be resolved/) }, 'the line');
        is(sent, 201, "$how: the last known address");
        $dns->say($CHATMAID => ['127.0.0.3']);
        arrives($new, 'a send at the new address');
        $nginx->quit;
    }

    my $dns   = dns_server($CHATMAID => 'nxdomain');
    my $nginx = gateway($dns);
    is(sent(my $m = message), '502 upstream_error not_sent', 'no such name: nothing is sent');
    $dns->say($CHATMAID => ['127.0.0.2']);
    comes('201', 'a send once there is one');
    is(sent($m), 201, 'so is the one that failed');
    $dns->say($CHATMAID => 'nxdomain');
    comes('502 upstream_error not_sent', 'the name has gone');
    is(get('/account')->{status}, 502, 'a read');
    $dns->say($CHATMAID => ['127.0.0.3']);
    comes('201', 'and is there again');
    $nginx->quit;
};

subtest 'a reload keeps the address' => sub {
    my $dns   = dns_server($CHATMAID => ['127.0.0.3']);
    my $nginx = gateway($dns);
    comes('201', 'the first send');
    $dns->say($CHATMAID => 'silence');
    $nginx->reload;
    is(sent, 201, 'while DNS does not answer');
    $nginx->quit;
};

done;
