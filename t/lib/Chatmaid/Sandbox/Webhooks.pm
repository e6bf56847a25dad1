package Chatmaid::Sandbox::Webhooks;

# Signs events and delivers them to the URLs that Chatmaid's dashboard would
# hold.  An answer other than 2xx, or none, is followed by further tries, one for
# each number in "retries".  Whether Chatmaid signs those anew or sends the first
# try's signature again is not known: "resign" says which.

use Mojo::Base -base, -signatures;
use Chatmaid::Sandbox::Messages;
use Digest::SHA qw(hmac_sha256_hex);
use Exporter 'import';
use Mojo::IOLoop;
use Mojo::JSON qw(encode_json true false);
use Mojo::UserAgent;
use Time::HiRes qw(time);

our @EXPORT_OK = qw(sign event);

has endpoints => sub { [] };     # [{url, secret, events (all)}, …]
has retries   => sub { [60, 300, 900] };   # seconds, each from the try before
has scale     => 1;              # of those, so that a test need not wait
has timeout   => 10;             # seconds until an answer
has resign    => 1;
has ca        => undef;          # of the URLs' certificates; else the system's
has journal   => sub { [] };     # a delivery is one event on its way to one URL

has agent => sub ($self) {
    Mojo::UserAgent->new(max_redirects => 0, inactivity_timeout => 0,
        request_timeout => $self->timeout, max_connections => 1000,
        $self->ca ? (ca => $self->ca) : ());
};

my @MESSAGE = qw(from to isGroup groupId status);
my @STAMPS  = qw(sentAt deliveredAt readAt failedAt);

# What an event's data holds unless it is said otherwise.
my %STATUS = (messageId => 'msg_7Qk2Zt90LmXa', from => '+15550100001', to => '+15550100099',
    isGroup => false, groupId => undef, source => 'api', map { $_ => undef } @STAMPS);
my %TEXT   = (isGroup => false, groupId => undef, type => 'text');
my %PHONE  = (phoneId => '66a2f0c4d1e5b7a890123456', phoneNumber => '+15550100001',
    displayName => 'Front desk', lastConnectedAt => '2026-07-25T16:00:00.000Z', lastDisconnectedAt => undef);
my %DATA = (
    (map { ("message.$_" => {%STATUS, status => $_}) } qw(sent delivered read failed)),
    'message.received'   => {%TEXT, messageId => 'inmsg_4Hd8sW1pQe', from => '+15550100099',
        to => '+15550100001', content => 'Thanks!', receivedAt => '2026-07-25T17:21:00.000Z'},
    'message.outgoing'   => {%TEXT, from => '+15550100001', to => '+15550100099', source => 'manual',
        content => "I'll take this one", sentAt => '2026-07-25T17:21:59.000Z'},
    'phone.connected'    => {%PHONE, status => 'connected'},
    'phone.disconnected' => {%PHONE, status => 'disconnected', lastDisconnectedAt => '2026-07-25T17:23:00.000Z'},
);


# --- An event as it goes out -------------------------------------------------

# The body's bytes.  Members given replace the usual ones.
sub event ($name, $data = {}, $timestamp = Chatmaid::Sandbox::Messages::iso()) {
    return sprintf '{"event":%s,"timestamp":%s,"data":%s}', map { encode_json($_) }
        $name, $timestamp, ref $data eq 'HASH' ? {%{$DATA{$name} // {}}, %$data} : $data;
}

# The header's value.
sub sign ($body, $secret, $t = int time) { "t=$t,v1=" . hmac_sha256_hex("$t.$body", $secret) }


# --- What happens to messages ------------------------------------------------

sub watch ($self, $messages) {
    $messages->on(status => sub ($messages, $message, $status) {
        $self->moved($message) if $DATA{"message.$status"};
    });
    return $self;
}

sub moved ($self, $message) {
    my %data = map { $_ => $message->{$_} } @MESSAGE, @STAMPS;
    $data{messageId} = $message->{id};
    @data{qw(errorCode errorMessage)} = @$message{qw(errorCode errorMessage)} if $data{status} eq 'failed';

    $self->send("message.$data{status}", event("message.$data{status}", \%data));
}


# --- Delivery ----------------------------------------------------------------

# To all who want that event; the ids of the deliveries.

sub send ($self, $name, $body) {
    my @to = grep { !$_->{events} || grep { $_ eq $name } @{$_->{events}} } @{$self->endpoints};
    return map { $self->deliver($_, $name, $body) } @to;
}

sub deliver ($self, $endpoint, $name, $body) {
    my $delivery = {
        id    => scalar @{$self->journal} + 1,
        event => $name,
        url   => $endpoint->{url},
        body  => $body,
        state => 'pending',      # then delivered or failed
        tries => [],
    };
    push @{$self->journal}, $delivery;
    $self->try_once($delivery, $endpoint->{secret});
    return $delivery->{id};
}

sub try_once ($self, $delivery, $secret) {
    my $tries = $delivery->{tries};
    my $try   = {time => time, t => $self->resign || !@$tries ? int time : $tries->[0]{t}};
    push @$tries, $try;
    $try->{signature} = sign($delivery->{body}, $secret, $try->{t});

    my $tx = $self->agent->build_tx(POST => $delivery->{url}, {
        'Content-Type'         => 'application/json',
        'X-Chatmaid-Event'     => $delivery->{event},
        'X-Chatmaid-Signature' => $try->{signature},
    }, $delivery->{body});

    $self->agent->start($tx => sub ($agent, $tx) {
        $try->{took}   = time - $try->{time};
        $try->{status} = $tx->res->code // 0;
        $try->{body}   = $tx->res->body;
        $try->{error}  = $tx->error->{message} if $tx->error && !$tx->error->{code};
        $self->tried($delivery, $secret, $tx->res->is_success && !$try->{error});
    });
}

sub tried ($self, $delivery, $secret, $success) {
    return if $delivery->{state} ne 'pending';          # forgotten meanwhile
    return $delivery->{state} = 'delivered' if $success;

    my $wait = $self->retries->[$#{$delivery->{tries}}];
    return $delivery->{state} = 'failed' unless defined $wait;

    Mojo::IOLoop->timer($wait * $self->scale => sub {
        $self->try_once($delivery, $secret) if $delivery->{state} eq 'pending';
    });
}

sub configure ($self, $new) {
    $self->$_($new->{$_}) for grep { exists $new->{$_} } qw(endpoints retries scale resign ca);
    $self->agent->request_timeout($self->timeout($new->{timeout})->timeout) if exists $new->{timeout};
}

# No further tries of what is under way.
sub clear ($self) {
    $_->{state} = 'dropped' for @{$self->journal};
    $self->journal([]);
}

1;
